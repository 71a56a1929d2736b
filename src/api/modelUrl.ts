/**
 * Where a model lies, as an absolute URL: a worker has another base than the page, so relative ones are resolved here. It must
 * never know what lies there.
 */

import { WeirError } from '../protocol/errors.ts'
import { baseUrl } from './baseUrl.ts'

/**
 * The model's folder, ending with a slash, or its GGUF file. A relative URL counts from the document's base, as those in its HTML do; in a worker
 * of the page's own, which has no document, from the worker's script.
 * @throws INVALID_OPTION for what is no URL, or one that no folder can have or no `fetch` can get
 */
export function modelUrl(model: string | URL): string {
  const base = baseUrl()
  const url = parse(model, base)
  if (!isFetched(url.protocol, base)) {
    throw invalid(model, `${url.protocol} has no folders that can be fetched; use http: or https:`)
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid(model, 'fetch takes no user name or password in a URL')
  }
  if (!/(\/|\.gguf)$/i.test(url.pathname)) url.pathname += '/'
  return url.href
}

function parse(model: unknown, base: string | undefined): URL {
  // Not by instanceof: a URL may be of another realm.
  const text = typeof model === 'object' && model !== null && 'href' in model ? model.href : model
  if (typeof text !== 'string' || text === '') throw invalid(model, 'it is no URL')
  if (URL.canParse(text, base)) return new URL(text, base)
  // Blob workers and Node have no place of their own.
  throw invalid(
    model,
    URL.canParse(text, 'https://page/') ? 'there is no page it could be relative to' : 'it is no URL',
  )
}

/** `http:` and `https:`, and what the page itself came by, as those of browser extensions and app shells do. */
function isFetched(protocol: string, base: string | undefined): boolean {
  if (protocol === 'http:' || protocol === 'https:') return true
  const folders = base !== undefined && URL.canParse('folder/', base)
  return folders && protocol === new URL(base).protocol
}

function invalid(model: unknown, reason: string): WeirError {
  return new WeirError(
    'INVALID_OPTION',
    `model must be the URL of a folder or of a GGUF file, not '${show(model)}': ${reason}`,
  )
}

/** A data URL may hold the whole model. */
function show(model: unknown): string {
  const text = String(model)
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
