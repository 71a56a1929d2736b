/** Fetches JSON files from a web server. It must never know what is in them. */

import { WeirError } from '../protocol/errors.ts'
import { contentLength, discard, get, type Http, isMissing, readBody, shortBody, statusError } from './http.ts'

/** The parsed file, or 'html' where the server answered with an HTML page, as many do for unknown paths. */
export type JsonAnswer = { readonly json: unknown } | 'missing' | 'html'

export async function fetchJson(http: Http, url: string): Promise<JsonAnswer> {
  const response = await get(http, url, { headers: { accept: 'application/json' } })
  if (isMissing(response)) {
    await discard(response)
    return 'missing'
  }
  if (!response.ok) throw await statusError(url, response)
  const said = contentLength(response)
  const body = await readBody(http, url, response)
  if (said !== undefined && body.length < said) throw shortBody(url, body.length, said)
  const text = new TextDecoder().decode(body)
  if (text.trimStart().startsWith('<')) return 'html'
  try {
    return { json: JSON.parse(text) }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WeirError('MODEL_FORMAT', `${url} is not JSON: ${reason}`, { url }, { cause })
  }
}

export async function requiredJson(http: Http, url: string): Promise<unknown> {
  const answer = await fetchJson(http, url)
  if (answer === 'missing')
    throw new WeirError('MODEL_FETCH', `cannot fetch ${url}: HTTP 404 Not Found`, { url, status: 404 })
  if (answer === 'html') throw htmlError(url, 'JSON')
  return answer.json
}

export async function optionalJson(http: Http, url: string): Promise<unknown> {
  const answer = await fetchJson(http, url)
  return typeof answer === 'string' ? undefined : answer.json
}

function htmlError(url: string, expected: string): WeirError {
  return new WeirError(
    'MODEL_FORMAT',
    `${url} is an HTML page, not ${expected}; the server probably answers every unknown path with its start page: check the URL`,
    { url },
  )
}
