/**
 * HTTP GET with typed failures: network and server errors are MODEL_FETCH with URL and cause, an abort is ABORTED. It
 * must never know what the bytes mean.
 */

import { WeirError } from '../protocol/errors.ts'

export type Fetch = typeof globalThis.fetch

export interface Http {
  /** called as a plain function: the browser's fetch throws when called as a method */
  readonly fetch: Fetch
  readonly signal: AbortSignal | undefined
}

/** Whether the server reports that the file does not exist. Any other failure is an error even for an optional file. */
export function isMissing(response: Response): boolean {
  return response.status === 404
}

/**
 * Returns any HTTP response, whatever its status.
 * @param init headers and cache mode
 * @throws MODEL_FETCH when there is no response, ABORTED
 */
export async function get(http: Http, url: string, init: Pick<RequestInit, 'headers' | 'cache'>): Promise<Response> {
  const { fetch, signal } = http
  throwIfAborted(signal, url)
  try {
    return await fetch(url, { ...init, ...(signal && { signal }) })
  } catch (thrown) {
    throw networkError(signal, url, 'server unreachable, or it does not allow this origin', thrown)
  }
}

/** Frees the connection of a response whose body is not read to its end. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined)
}

export async function statusError(url: string, response: Response): Promise<WeirError> {
  await discard(response)
  const status = `${response.status} ${response.statusText}`.trim()
  return new WeirError('MODEL_FETCH', `cannot fetch ${url}: HTTP ${status}`, { url, status: response.status })
}

/**
 * The body in chunks; leaving the loop early cancels the transfer.
 * @throws MODEL_FETCH when the connection breaks (a body shorter than its Content-Length is one), ABORTED
 */
export async function* chunks(
  http: Http,
  url: string,
  response: Response,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
  const reader = response.body?.getReader()
  if (!reader) return
  let received = 0
  try {
    for (;;) {
      throwIfAborted(http.signal, url)
      const { done, value } = await reader.read().catch((thrown: unknown) => {
        throw networkError(http.signal, url, `the connection broke after ${received} bytes`, thrown)
      })
      if (done) return
      received += value.length
      yield value
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
}

/** The first `limit` bytes of the body, or all of a shorter one; the rest is not transferred. */
export async function readBody(
  http: Http,
  url: string,
  response: Response,
  limit = Number.POSITIVE_INFINITY,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of chunks(http, url, response)) {
    parts.push(chunk)
    bytes += chunk.length
    if (bytes >= limit) break
  }
  const body = new Uint8Array(bytes)
  let offset = 0
  for (const part of parts) {
    body.set(part, offset)
    offset += part.length
  }
  return body.subarray(0, limit)
}

/** The body's Content-Length; undefined if absent or if the body was compressed for the transfer. */
export function contentLength(response: Response): number | undefined {
  const text = response.headers.get('content-length')
  if (text === null || response.headers.has('content-encoding')) return undefined
  const length = Number(text)
  return Number.isSafeInteger(length) && length >= 0 ? length : undefined
}

export function throwIfAborted(signal: AbortSignal | undefined, url: string): void {
  if (signal?.aborted) throw abortError(signal, url)
}

export function shortBody(url: string, received: number, expected: number): WeirError {
  return new WeirError(
    'MODEL_FETCH',
    `cannot fetch ${url}: the body ended after ${received} of ${expected} bytes; try again`,
    { url, received, expected },
  )
}

function abortError(signal: AbortSignal, url: string): WeirError {
  return new WeirError(
    'ABORTED',
    `loading ${url} was aborted by the caller's signal`,
    { url },
    { cause: signal.reason },
  )
}

function networkError(signal: AbortSignal | undefined, url: string, what: string, thrown: unknown): WeirError {
  if (signal?.aborted) return abortError(signal, url)
  return new WeirError('MODEL_FETCH', `cannot fetch ${url}: ${what} (${causeOf(thrown)})`, { url }, { cause: thrown })
}

/** The innermost cause: Node's fetch nests it two errors deep. */
function causeOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  return thrown.cause instanceof Error ? causeOf(thrown.cause) : thrown.message
}
