/**
 * Bytes of one file on a web server: its start, before anything is known of it, and then any part of it. It must never know what the
 * bytes mean.
 */

import { WeirError } from '../protocol/errors.ts'
import {
  chunks,
  contentLength,
  discard,
  get,
  type Http,
  isMissing,
  readBody,
  shortBody,
  statusError,
  throwIfAborted,
} from './http.ts'

export interface FileStart {
  readonly bytes: Uint8Array
  /** size of the whole file, if the server reports it or the file was read whole */
  readonly fileBytes: number | undefined
}

export interface FileSize {
  /** where the data begins, after the header */
  readonly dataStart: number
  /** where the data ends, by the header */
  readonly dataEnd: number
  /** of the whole file; undefined: not known, and at least `dataEnd` */
  readonly fileBytes: number | undefined
}

/** Bytes that may be fetched in vain rather than with another request. */
export const GAP_BYTES = 64 * 1024

const ACCEPT = { accept: 'application/octet-stream' }

/** Of a file that is kept: how much is read at a time. */
const PIECE_BYTES = 4 * 1024 * 1024

/**
 * Reads the first `limit` bytes with a Range request, or from the start of the whole file if the server ignores Range.
 * @returns undefined when there is no such file
 * @throws MODEL_FETCH, MODEL_FORMAT (an empty file), ABORTED
 */
export async function readStart(http: Http, url: string, limit: number): Promise<FileStart | undefined> {
  const response = await getRange(http, url, 0, limit)
  if (isMissing(response)) {
    await discard(response)
    return undefined
  }
  if (response.status === 416) {
    await discard(response)
    throw new WeirError('MODEL_FORMAT', `${url} is empty`, { url })
  }
  if (!response.ok) throw await statusError(url, response)

  const partial = response.status === 206
  const said = contentLength(response)
  const bytes = await readBody(http, url, response, limit)
  if (said !== undefined && bytes.length < Math.min(said, limit)) throw shortBody(url, bytes.length, said)
  const total = partial ? contentRange(response)?.total : said
  return { bytes, fileBytes: total ?? (bytes.length < limit ? bytes.length : undefined) }
}

/**
 * The start of the file with more bytes, up to `limit`: those that are missing, or all of them if the server ignores Range.
 * @throws as `readStart`
 */
export async function growStart(http: Http, url: string, start: FileStart, limit: number): Promise<FileStart> {
  const have = start.bytes.length
  const response = await getRange(http, url, have, limit)
  if (response.status !== 206 || (contentRange(response)?.begin ?? have) !== have) {
    await discard(response)
    return (await readStart(http, url, limit)) ?? start
  }
  const said = contentLength(response)
  const more = await readBody(http, url, response, limit - have)
  if (said !== undefined && more.length < Math.min(said, limit - have))
    throw shortBody(url, have + more.length, have + said)
  const bytes = new Uint8Array(have + more.length)
  bytes.set(start.bytes)
  bytes.set(more, have)
  return { bytes, fileBytes: start.fileBytes ?? (bytes.length < limit ? bytes.length : undefined) }
}

export class RemoteFile {
  readonly name: string
  readonly url: string
  readonly #size: FileSize
  /** the whole file, once it had to be fetched at once; a browser keeps a large one on the disk */
  #kept: Blob | undefined

  constructor(name: string, url: string, size: FileSize) {
    this.name = name
    this.url = url
    this.#size = size
  }

  /**
   * The bytes [begin, end) of the file, in chunks; leaving the loop early cancels the transfer. All of the data, or nearly, is one plain
   * GET, which the browser's HTTP cache may answer; a part of it is a Range request. If the server ignores Range, the file is fetched
   * whole, and kept for later parts.
   * @throws MODEL_FETCH, MODEL_FORMAT (the file is not the one whose header was read), ABORTED
   */
  async *read(http: Http, begin: number, end: number): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    if (this.#kept) return yield* this.#readKept(http, this.#kept, begin, end)
    const { dataStart, dataEnd } = this.#size
    if (begin < dataStart + GAP_BYTES && dataEnd < end + GAP_BYTES) {
      const response = await get(http, this.url, { headers: ACCEPT })
      if (!response.ok) throw await statusError(this.url, response)
      return yield* this.#readBody(http, response, begin, end)
    }
    const response = await getRange(http, this.url, begin, end)
    if (response.status === 200) return yield* this.#readKept(http, await this.#keep(http, response), begin, end)
    yield* this.#readPart(http, response, begin, end)
  }

  /**
   * Fetches the file whole with one plain GET, and keeps it for all later parts.
   * @param onBytes called with the number of bytes that have arrived since the last call
   * @throws as `read`
   */
  async fetchWhole(http: Http, onBytes: (bytes: number) => void): Promise<void> {
    if (this.#kept) return
    const response = await get(http, this.url, { headers: ACCEPT })
    if (!response.ok) throw await statusError(this.url, response)
    await this.#keep(http, response, onBytes)
  }

  async #keep(http: Http, response: Response, onBytes?: (bytes: number) => void): Promise<Blob> {
    const parts: Blob[] = []
    let pending: Uint8Array<ArrayBuffer>[] = []
    let pendingBytes = 0
    for await (const chunk of this.#readBody(http, response, 0, Number.POSITIVE_INFINITY)) {
      pending.push(chunk)
      pendingBytes += chunk.length
      onBytes?.(chunk.length)
      if (pendingBytes < PIECE_BYTES) continue
      parts.push(new Blob(pending))
      pending = []
      pendingBytes = 0
    }
    this.#kept = new Blob([...parts, ...pending])
    return this.#kept
  }

  async *#readKept(
    http: Http,
    kept: Blob,
    begin: number,
    end: number,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    for (let start = begin; start < end; start += PIECE_BYTES) {
      throwIfAborted(http.signal, this.url)
      yield new Uint8Array(await kept.slice(start, Math.min(start + PIECE_BYTES, end)).arrayBuffer())
    }
  }

  /** The bytes [begin, end) of a body that is the whole file. It is read to its end, which shows whether it is the same file. */
  async *#readBody(
    http: Http,
    response: Response,
    begin: number,
    end: number,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    const { dataEnd, fileBytes } = this.#size
    const said = contentLength(response)
    if (said !== undefined && (fileBytes === undefined ? said < dataEnd : said !== fileBytes)) {
      await discard(response)
      throw this.#changed(said)
    }
    let received = 0
    for await (const chunk of chunks(http, this.url, response)) {
      const part = chunk.subarray(Math.max(0, begin - received), Math.max(0, end - received))
      received += chunk.length
      if (fileBytes !== undefined && received > fileBytes) throw this.#changed(received)
      if (part.length > 0) yield part
    }
    const least = fileBytes ?? dataEnd
    if (received < least) throw shortBody(this.url, received, least)
  }

  /** A body that is the bytes [begin, end) of the file. */
  async *#readPart(
    http: Http,
    response: Response,
    begin: number,
    end: number,
  ): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    const range = contentRange(response)
    if (response.status === 416) {
      await discard(response)
      throw this.#changed(range?.total)
    }
    if (response.status !== 206) throw await statusError(this.url, response)
    const { fileBytes } = this.#size
    if (range?.total !== undefined && fileBytes !== undefined && range.total !== fileBytes) {
      await discard(response)
      throw this.#changed(range.total)
    }
    const expected = end - begin
    const said = contentLength(response)
    if ((range?.begin !== undefined && range.begin !== begin) || (said !== undefined && said > expected)) {
      await discard(response)
      throw this.#otherRange(begin, end)
    }
    let received = 0
    for await (const chunk of chunks(http, this.url, response)) {
      received += chunk.length
      if (received > expected) throw this.#otherRange(begin, end)
      yield chunk
    }
    if (received < expected) throw shortBody(this.url, received, expected)
  }

  #changed(found: number | undefined): WeirError {
    const { url } = this
    const expected = this.#size.fileBytes ?? this.#size.dataEnd
    const message = `${url} has ${found ?? 'too few'} bytes, its header describes a file of ${expected}`
    return new WeirError('MODEL_FORMAT', message, { url, expected, ...(found !== undefined && { found }) })
  }

  #otherRange(begin: number, end: number): WeirError {
    const { url } = this
    const message = `cannot fetch ${url}: asked for the bytes ${begin}…${end - 1}, the server sent others`
    return new WeirError('MODEL_FETCH', message, { url, begin, end })
  }
}

/**
 * Asks for the bytes [begin, end). Bypasses the HTTP cache: the browser would complete a cached range from the full response, but
 * servers compress whole files and not ranges, so the bytes do not match.
 */
function getRange(http: Http, url: string, begin: number, end: number): Promise<Response> {
  return get(http, url, { headers: { ...ACCEPT, range: `bytes=${begin}-${end - 1}` }, cache: 'no-store' })
}

/** What `Content-Range: bytes 0-99/1234` says, a header that CORS may hide. With a 416 it has no begin. */
function contentRange(response: Response): { begin: number | undefined; total: number | undefined } | undefined {
  const found = /^bytes (?:(\d+)-\d+|\*)\/(?:(\d+)|\*)$/.exec(response.headers.get('content-range') ?? '')
  if (!found) return undefined
  const [, begin, total] = found
  return {
    begin: begin === undefined ? undefined : Number(begin),
    total: total === undefined ? undefined : Number(total),
  }
}
