/**
 * Fetches and parses the files of a model in a folder on a web server, laid out as on the Hugging Face Hub. It must never
 * know what the fields of a config or a tokenizer mean.
 */

import { WeirError } from '../protocol/errors.ts'
import { Checkpoint, type CheckpointFile } from './checkpoint.ts'
import {
  contentLength,
  discard,
  type Fetch,
  get,
  type Http,
  isMissing,
  readBody,
  shortBody,
  statusError,
} from './http.ts'
import { openSafetensors } from './safetensorsFile.ts'

export interface OpenOptions {
  readonly signal?: AbortSignal | undefined
  /** default: the global one */
  readonly fetch?: Fetch | undefined
}

/** The parsed but uninterpreted files of a model's folder; undefined if a file does not exist. */
export interface ModelFiles {
  /** URL of the folder */
  readonly url: string
  readonly config: unknown
  readonly generationConfig: unknown
  readonly tokenizer: unknown
  readonly tokenizerConfig: unknown
  readonly checkpoint: Checkpoint
  /**
   * Fetches any other JSON file, by a URL relative to the folder.
   * @throws MODEL_FETCH, MODEL_FORMAT, ABORTED, INVALID_OPTION (the URL)
   */
  readJson(url: string): Promise<unknown>
}

const WEIGHTS = 'model.safetensors'
const WEIGHTS_INDEX = 'model.safetensors.index.json'

/**
 * Opens the model in the folder `url` (absolute; a trailing slash is optional): fetches its JSON files and the headers of
 * its weights, not the weights.
 * @throws MODEL_FETCH (HTTP status, network), MODEL_FORMAT (a file is not what its name says), ABORTED, INVALID_OPTION (the URL)
 */
export async function openModel(url: string, options: OpenOptions = {}): Promise<ModelFiles> {
  const folder = parseFolder(url)
  const http: Http = {
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    signal: options.signal,
  }
  // config.json is fetched first and alone: every model has one, so a wrong URL is reported by its 404.
  const config = await requiredJson(http, fileUrl(folder, 'config.json'))
  const [generationConfig, tokenizer, tokenizerConfig, checkpoint] = await Promise.all([
    optionalJson(http, fileUrl(folder, 'generation_config.json')),
    optionalJson(http, fileUrl(folder, 'tokenizer.json')),
    optionalJson(http, fileUrl(folder, 'tokenizer_config.json')),
    openWeights(http, folder),
  ])
  const readJson = (relative: string) => requiredJson(http, otherUrl(folder, relative))
  return { url: folder.href, config, generationConfig, tokenizer, tokenizerConfig, checkpoint, readJson }
}

function parseFolder(url: string): URL {
  // `data:` and `blob:` URLs are absolute, but cannot be the base of another URL.
  if (!URL.canParse('config.json', url)) {
    throw new WeirError('INVALID_OPTION', `model URL "${url}" is not the absolute URL of a folder`, { url })
  }
  const folder = new URL(url)
  if (!folder.pathname.endsWith('/')) folder.pathname += '/'
  folder.hash = ''
  return folder
}

/** The URL of a file in the folder. The folder's query (an access token, a revision) is added to it. */
function fileUrl(folder: URL, name: string): string {
  const file = new URL(name, folder)
  file.search = folder.search
  return file.href
}

/** The URL of another file. Outside the folder the query is not added: an access token belongs to its own server. */
function otherUrl(folder: URL, relative: string): string {
  try {
    const file = new URL(relative, folder)
    const inside = file.origin === folder.origin && file.pathname.startsWith(folder.pathname)
    if (inside && file.search === '') file.search = folder.search
    return file.href
  } catch (cause) {
    throw new WeirError('INVALID_OPTION', `"${relative}" is not a URL`, { url: relative }, { cause })
  }
}

/** The parsed file, or 'html' where the server answered with an HTML page, as many do for unknown paths. */
type JsonAnswer = { readonly json: unknown } | 'missing' | 'html'

async function fetchJson(http: Http, url: string): Promise<JsonAnswer> {
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

async function requiredJson(http: Http, url: string): Promise<unknown> {
  const answer = await fetchJson(http, url)
  if (answer === 'missing')
    throw new WeirError('MODEL_FETCH', `cannot fetch ${url}: HTTP 404 Not Found`, { url, status: 404 })
  if (answer === 'html') throw htmlError(url, 'JSON')
  return answer.json
}

async function optionalJson(http: Http, url: string): Promise<unknown> {
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

async function openWeights(http: Http, folder: URL): Promise<Checkpoint> {
  const file = await openSafetensors(http, fileUrl(folder, WEIGHTS), WEIGHTS)
  return new Checkpoint(http.fetch, file ? [file] : await openShards(http, folder))
}

async function openShards(http: Http, folder: URL): Promise<CheckpointFile[]> {
  const indexUrl = fileUrl(folder, WEIGHTS_INDEX)
  const answer = await fetchJson(http, indexUrl)
  if (typeof answer === 'string') {
    const weightsUrl = fileUrl(folder, WEIGHTS)
    throw new WeirError(
      'MODEL_FETCH',
      `cannot fetch ${weightsUrl}: HTTP 404 Not Found, and there is no ${WEIGHTS_INDEX}`,
      {
        url: weightsUrl,
        status: 404,
      },
    )
  }
  const fileOf = weightMap(indexUrl, answer.json)
  const files: CheckpointFile[] = []
  for (const name of [...new Set(fileOf.values())].sort()) {
    const url = fileUrl(folder, name)
    const file = await openSafetensors(http, url, name)
    if (!file) throw new WeirError('MODEL_FETCH', `cannot fetch ${url}: HTTP 404 Not Found`, { url, status: 404 })
    files.push(file)
  }
  checkIndex(indexUrl, fileOf, files)
  return files
}

/** Maps tensor names to file names, from the index. */
function weightMap(url: string, index: unknown): Map<string, string> {
  const map = typeof index === 'object' && index !== null && 'weight_map' in index ? index.weight_map : undefined
  const entries = typeof map === 'object' && map !== null && !Array.isArray(map) ? Object.entries(map) : []
  if (entries.length === 0) throw new WeirError('MODEL_FORMAT', `${url} has no weight_map`, { url })
  const fileOf = new Map<string, string>()
  for (const [tensor, file] of entries) {
    // Only a plain file name in this folder: an index must not make the loader fetch other URLs.
    if (typeof file !== 'string' || !/^[\w][\w.-]*\.safetensors$/.test(file)) {
      const shown = JSON.stringify(file)
      throw new WeirError(
        'MODEL_FORMAT',
        `${url}: weight_map puts ${tensor} into ${shown}, not a .safetensors file beside it`,
        {
          url,
          tensor,
        },
      )
    }
    fileOf.set(tensor, file)
  }
  return fileOf
}

function checkIndex(indexUrl: string, fileOf: ReadonlyMap<string, string>, files: readonly CheckpointFile[]): void {
  const found = new Set(files.flatMap(({ file, tensors }) => tensors.map(({ name }) => `${file.name}/${name}`)))
  for (const [tensor, file] of fileOf) {
    if (!found.has(`${file}/${tensor}`)) {
      throw new WeirError('MODEL_FORMAT', `${indexUrl} puts tensor ${tensor} into ${file}, which does not hold it`, {
        url: indexUrl,
        tensor,
        file,
      })
    }
  }
}
