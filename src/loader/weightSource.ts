/**
 * The weights of a model at a URL: one safetensors file, or several named by an index. Opening reads the headers only, so
 * that memory can be planned, and refused, before any weight is fetched; `stream` then yields tensor by tensor. It must
 * never know which tensors a model needs or what they are used for.
 */

import { WeirError } from '../protocol/errors.ts'
import type { LoadProgress } from '../protocol/options.ts'
import { chunks, contentLength, discard, get, type Http, isMissing, readBody, shortBody, statusError } from './http.ts'
import { headerLength, LENGTH_BYTES, parseHeader, type TensorInfo } from './safetensors.ts'

/** `loaded` and `total` count the data of all files; `file` is the one being read. */
export type FetchProgress = Omit<LoadProgress, 'phase'>

/** Receives one tensor's little-endian bytes in a buffer of its own; the next tensor waits for the promise. */
export type TensorSink = (info: TensorInfo, data: Uint8Array) => void | Promise<void>

export interface StreamOptions {
  readonly signal?: AbortSignal | undefined
  /** called at most a few hundred times, and last with loaded = total */
  readonly onProgress?: ((progress: FetchProgress) => void) | undefined
}

/** One file whose header has been read. */
export interface WeightFile {
  readonly name: string
  readonly url: string
  /** offset of the data, just after the header */
  readonly dataStart: number
  readonly tensors: readonly TensorInfo[] // in file order
}

const ACCEPT = { accept: 'application/octet-stream' }

/** Larger than the header of every dense model below 10 B. */
const HEADER_GUESS_BYTES = 256 * 1024

const PROGRESS_CALLS = 200

/**
 * Reads a file's header with a Range request, or from the start of the whole file if the server ignores Range.
 * @returns undefined when there is no such file
 * @throws MODEL_FETCH, MODEL_FORMAT, ABORTED
 */
export async function openWeightFile(http: Http, url: string, name: string): Promise<WeightFile | undefined> {
  let start = await readStart(http, url, HEADER_GUESS_BYTES)
  if (!start) return undefined
  const jsonBytes = headerLength(url, start.bytes, start.fileBytes)
  const dataStart = LENGTH_BYTES + jsonBytes
  if (dataStart > HEADER_GUESS_BYTES) start = (await readStart(http, url, dataStart)) ?? start
  if (start.bytes.length < dataStart) throw shortBody(url, start.bytes.length, dataStart)
  const dataBytes = start.fileBytes === undefined ? undefined : start.fileBytes - dataStart
  return { name, url, dataStart, tensors: parseHeader(url, start.bytes.subarray(LENGTH_BYTES, dataStart), dataBytes) }
}

interface FileStart {
  readonly bytes: Uint8Array
  /** size of the whole file, if the server reports it or the file was read whole */
  readonly fileBytes: number | undefined
}

async function readStart(http: Http, url: string, limit: number): Promise<FileStart | undefined> {
  // Bypasses the HTTP cache: the browser would complete a cached range from the full response, but servers compress whole
  // files and not ranges, so the bytes do not match.
  const headers = { ...ACCEPT, range: `bytes=0-${limit - 1}` }
  const response = await get(http, url, { headers, cache: 'no-store' })
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
  const total = partial ? rangeTotal(response) : said
  return { bytes, fileBytes: total ?? (bytes.length < limit ? bytes.length : undefined) }
}

/** The file's size from `Content-Range: bytes 0-99/1234`, a header that CORS may hide. */
function rangeTotal(response: Response): number | undefined {
  const total = /^bytes 0-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]
  return total === undefined ? undefined : Number(total)
}

export class WeightSource {
  /** in the order of `stream` */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** of all tensors' data, headers not counted */
  readonly totalBytes: number
  readonly #files: readonly WeightFile[]
  readonly #http: Http

  /** @throws MODEL_FORMAT when two files hold a tensor of the same name */
  constructor(http: Http, files: readonly WeightFile[]) {
    const tensors = new Map<string, TensorInfo>()
    for (const { url, tensors: infos } of files) {
      for (const info of infos) {
        if (tensors.has(info.name)) {
          throw new WeirError(
            'MODEL_FORMAT',
            `${url} holds tensor ${info.name}, which another file of the model holds too`,
            {
              url,
              tensor: info.name,
            },
          )
        }
        tensors.set(info.name, info)
      }
    }
    this.tensors = tensors
    this.totalBytes = [...tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0)
    this.#files = files
    this.#http = http
  }

  /**
   * Fetches every tensor once, in file order. Holds one tensor at a time plus the last chunk received. Each call fetches
   * again.
   * @throws MODEL_FETCH, MODEL_FORMAT, ABORTED, or what the sink throws
   */
  async stream(sink: TensorSink, options: StreamOptions = {}): Promise<void> {
    const http: Http = { fetch: this.#http.fetch, signal: options.signal }
    const progress = progressMeter(this.totalBytes, options.onProgress)
    for (const file of this.#files) await streamFile(http, file, sink, progress)
  }
}

type Advance = (file: string, bytes: number) => void

function progressMeter(total: number, report: StreamOptions['onProgress']): Advance {
  let loaded = 0
  let reported = 0
  return (file, bytes) => {
    loaded += bytes
    if (loaded < total && loaded - reported < total / PROGRESS_CALLS) return
    if (loaded === reported) return
    reported = loaded
    report?.({ file, loaded, total })
  }
}

async function streamFile(http: Http, file: WeightFile, sink: TensorSink, advance: Advance): Promise<void> {
  const { name, url, dataStart } = file
  const fileBytes = file.tensors.reduce((sum, { bytes }) => sum + bytes, dataStart)
  const response = await get(http, url, { headers: ACCEPT })
  if (!response.ok) throw await statusError(url, response)
  const said = contentLength(response)
  if (said !== undefined && said !== fileBytes) {
    await discard(response)
    throw changedFile(url, said, fileBytes)
  }

  const assembler = new TensorAssembler(file.tensors, sink)
  let received = 0
  for await (const chunk of chunks(http, url, response)) {
    const data = chunk.subarray(Math.max(0, dataStart - received))
    received += chunk.length
    if (received > fileBytes) throw changedFile(url, received, fileBytes)
    await assembler.push(data)
    advance(name, data.length)
  }
  if (received < fileBytes) throw shortBody(url, received, fileBytes)
  await assembler.finish()
}

function changedFile(url: string, found: number, expected: number): WeirError {
  return new WeirError('MODEL_FORMAT', `${url} has ${found} bytes, its header describes a file of ${expected}`, {
    url,
    found,
    expected,
  })
}

/** Splits a stream of bytes into tensors. */
class TensorAssembler {
  readonly #tensors: readonly TensorInfo[]
  readonly #sink: TensorSink
  #index = 0
  #data: Uint8Array | undefined
  #filled = 0

  constructor(tensors: readonly TensorInfo[], sink: TensorSink) {
    this.#tensors = tensors
    this.#sink = sink
  }

  async push(chunk: Uint8Array): Promise<void> {
    let rest = chunk
    while (rest.length > 0) {
      const info = this.#tensors[this.#index]
      if (!info) return
      this.#data ??= new Uint8Array(info.bytes)
      const part = rest.subarray(0, info.bytes - this.#filled)
      this.#data.set(part, this.#filled)
      this.#filled += part.length
      rest = rest.subarray(part.length)
      if (this.#filled === info.bytes) await this.#deliver(info, this.#data)
    }
  }

  /** Delivers empty tensors at the end of the file. */
  async finish(): Promise<void> {
    for (let info = this.#tensors[this.#index]; info?.bytes === 0; info = this.#tensors[this.#index]) {
      await this.#deliver(info, new Uint8Array(0))
    }
  }

  async #deliver(info: TensorInfo, data: Uint8Array): Promise<void> {
    this.#index += 1
    this.#data = undefined
    this.#filled = 0
    await this.#sink(info, data)
  }
}
