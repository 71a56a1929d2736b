/**
 * Fetches and parses the files of a model on a web server: a folder laid out as on the Hugging Face Hub, or a GGUF file. It must never
 * know what the fields of a config or a tokenizer mean.
 */

import { ggufConfig } from '../models/ggufConfig.ts'
import type { GgufMetadata } from '../models/ggufFields.ts'
import { configTensors } from '../models/ggufRope.ts'
import { WeirError } from '../protocol/errors.ts'
import { Checkpoint, type CheckpointFile } from './checkpoint.ts'
import { openGguf } from './ggufFile.ts'
import type { Fetch, Http } from './http.ts'
import { fetchJson, optionalJson, requiredJson } from './jsonFile.ts'
import { openSafetensors } from './safetensorsFile.ts'

export interface OpenOptions {
  readonly signal?: AbortSignal | undefined
  /** default: the global one */
  readonly fetch?: Fetch | undefined
}

/** The parsed but uninterpreted files of a model; undefined if a file does not exist. */
export interface ModelFiles {
  /** URL of the folder, or of the GGUF file */
  readonly url: string
  /** of a GGUF file what config.json would be */
  readonly config: unknown
  /** of a GGUF file alone */
  readonly metadata: GgufMetadata | undefined
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
 * Opens the model at `url`, absolute: a folder (a trailing slash is optional), or a GGUF file, by its ending. Fetches the JSON files and
 * the headers of the weights, not the weights. Of a GGUF file the JSON files beside it are read where they exist, but for config.json.
 * @throws MODEL_FETCH (HTTP status, network), MODEL_FORMAT (a file is not what its name says), ABORTED, INVALID_OPTION (the URL)
 */
export async function openModel(url: string, options: OpenOptions = {}): Promise<ModelFiles> {
  const { folder, file } = parseUrl(url)
  const http: Http = {
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    signal: options.signal,
  }
  // What every model has is fetched first and alone: a wrong URL is reported by its 404.
  const described = file === undefined ? await openConfig(http, folder) : await openGgufModel(http, folder, file)
  const [generationConfig, tokenizer, tokenizerConfig, checkpoint] = await Promise.all([
    optionalJson(http, fileUrl(folder, 'generation_config.json')),
    optionalJson(http, fileUrl(folder, 'tokenizer.json')),
    optionalJson(http, fileUrl(folder, 'tokenizer_config.json')),
    described.checkpoint ?? openWeights(http, folder),
  ])
  const readJson = (relative: string) => requiredJson(http, otherUrl(folder, relative))
  const { config, metadata } = described
  const opened = file === undefined ? folder.href : fileUrl(folder, file)
  return { url: opened, config, metadata, generationConfig, tokenizer, tokenizerConfig, checkpoint, readJson }
}

/** What says the architecture; of a GGUF file with the checkpoint. */
interface Described extends Pick<ModelFiles, 'config' | 'metadata'> {
  readonly checkpoint: Checkpoint | undefined
}

async function openConfig(http: Http, folder: URL): Promise<Described> {
  const config = await requiredJson(http, fileUrl(folder, 'config.json'))
  return { config, metadata: undefined, checkpoint: undefined }
}

async function openGgufModel(http: Http, folder: URL, name: string): Promise<Described> {
  const { metadata, tensors, checkpoint } = await openGguf(http, name, (part) => fileUrl(folder, part))
  const values = new Map<string, Float32Array>()
  for (const tensor of configTensors(tensors)) {
    const bytes = new Uint8Array(checkpoint.tensors.get(tensor)?.bytes ?? 0)
    let filled = 0
    const take = (_: number, chunk: Uint8Array): void => {
      bytes.set(chunk, filled)
      filled += chunk.length
    }
    await checkpoint.read([{ tensor, begin: 0, end: bytes.length }], take, { signal: http.signal })
    values.set(tensor, new Float32Array(bytes.buffer))
  }
  return { config: ggufConfig(metadata, tensors, values), metadata, checkpoint }
}

/** The folder, and the name of the GGUF file in it if the URL is one's, as the URL spells it. */
function parseUrl(url: string): { readonly folder: URL; readonly file: string | undefined } {
  const path = URL.canParse(url) ? new URL(url).pathname : ''
  if (!path.toLowerCase().endsWith('.gguf')) return { folder: parseFolder(url), file: undefined }
  const { search } = new URL(url)
  const folder = parseFolder(new URL('.', url).href)
  folder.search = search
  return { folder, file: path.slice(path.lastIndexOf('/') + 1) }
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
  const file = new URL(`./${name}`, folder)
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
