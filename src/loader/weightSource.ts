/**
 * The weights of a model at a URL: one safetensors file or several named by an index. Headers are read when it is opened, so that
 * a plan of memory can be made and refused before any weight is fetched; `stream` then hands over tensor by tensor. It must never
 * know which tensors a model needs or what becomes of their bytes.
 */

import { WeirError } from '../protocol/errors.ts'
import type { LoadProgress } from '../protocol/options.ts'
import { chunks, contentLength, discard, get, type Http, isMissing, readBody, shortBody, statusError } from './http.ts'
import { headerLength, LENGTH_BYTES, parseHeader, type TensorInfo } from './safetensors.ts'

/** `loaded` and `total` count the data of all files, `file` is the one being read. */
export type FetchProgress = Omit<LoadProgress, 'phase'>

/** Takes one tensor's bytes, little-endian, in a buffer of their own; the next one waits for the promise. */
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
  /** offset of the data: what stands before it is the header */
  readonly dataStart: number
  readonly tensors: readonly TensorInfo[] // in file order
}

const ACCEPT = { accept: 'application/octet-stream' }

/** Enough for the header of every dense model below 10 B. */
const HEADER_GUESS_BYTES = 256 * 1024

const PROGRESS_CALLS = 200

/**
 * Reads a file's header: a Range request, or the start of the whole file where the server ignores Range.
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
  /** size of the whole file, where the server says it or the start is all of it */
  readonly fileBytes: number | undefined
}

async function readStart(http: Http, url: string, limit: number): Promise<FileStart | undefined> {
  // Not through the cache: the browser would fill the rest of a cached part from the server, which compresses whole files but
  // sends ranges as they are, and the two do not fit together.
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

/** Size of the file out of `Content-Range: bytes 0-99/1234`; servers do not show the field to every origin. */
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
   * Fetches every tensor once, in file order. At most one tensor is held at a time, and no byte of it twice but the piece that
   * just arrived. May be called again: it fetches again.
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

/** Cuts a stream of bytes into tensors. */
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

  /** Delivers tensors without elements that stand at the end of the file. */
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
