/**
 * The tensors of a model's files, and ranges of their bytes in any order. Opening reads the headers only, so that memory can be
 * planned, and refused, before any weight is fetched. It must never know which tensors a model needs or what they are used for.
 */

import { WeirError } from '../protocol/errors.ts'
import type { LoadProgress } from '../protocol/options.ts'
import { assert } from '../util/math.ts'
import type { Fetch, Http } from './http.ts'
import { GAP_BYTES, type RemoteFile } from './remoteFile.ts'

/** A tensor in its file. */
export interface PlacedTensor {
  readonly name: string
  /** as the file calls it: 'BF16' in safetensors, 'q4_k' in GGUF */
  readonly dtype: string
  readonly shape: readonly number[]
  /** size of the data */
  readonly bytes: number
  /** where the data begins, from the start of the file */
  readonly offset: number
}

export interface StoredTensorInfo extends PlacedTensor {
  /** index of the file among the checkpoint's */
  readonly file: number
}

/** One file whose header has been read. */
export interface CheckpointFile {
  readonly file: RemoteFile
  readonly tensors: readonly PlacedTensor[] // in file order
}

/** The bytes [begin, end) of a tensor's data. */
export interface ByteRange {
  readonly tensor: string
  readonly begin: number
  readonly end: number
}

/**
 * Receives the bytes of a range, in as many chunks as they come in: all of range 0, then all of range 1. An empty range has none. The
 * chunk is the receiver's until its promise settles; the next waits for it.
 */
export type TakeBytes = (index: number, chunk: Uint8Array) => void | Promise<void>

/** `loaded` and `total` count the bytes of the ranges asked for; `file` is the one being read. */
export type FetchProgress = Omit<LoadProgress, 'phase'>

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined
  /** called at most a few hundred times, and last with loaded = total */
  readonly onProgress?: ((progress: FetchProgress) => void) | undefined
}

/** Ranges of one file that one request answers. */
interface RangeRequest {
  readonly file: RemoteFile
  readonly begin: number
  end: number
  /** ascending, without overlaps; offsets in the file */
  readonly parts: { readonly index: number; readonly begin: number; readonly end: number }[]
}

const PROGRESS_CALLS = 200

/** More requests than this of less than SMALL_BYTES on average, and the file is fetched whole: each costs about 100 ms of waiting. */
const MANY_REQUESTS = 16
const SMALL_BYTES = 8 * 1024 * 1024

export class Checkpoint {
  /** in the order of the files */
  readonly tensors: ReadonlyMap<string, StoredTensorInfo>
  readonly #files: readonly RemoteFile[]
  readonly #fetch: Fetch

  /** @throws MODEL_FORMAT when two files hold a tensor of the same name */
  constructor(fetch: Fetch, files: readonly CheckpointFile[]) {
    const all = new Map<string, StoredTensorInfo>()
    for (const [index, { file, tensors }] of files.entries()) {
      for (const tensor of tensors) {
        const { url } = file
        if (all.has(tensor.name)) {
          const message = `${url} holds tensor ${tensor.name}, which another file of the model holds too`
          throw new WeirError('MODEL_FORMAT', message, { url, tensor: tensor.name })
        }
        all.set(tensor.name, { ...tensor, file: index })
      }
    }
    this.tensors = all
    this.#files = files.map(({ file }) => file)
    this.#fetch = fetch
  }

  /**
   * Fetches ranges and passes their bytes on in the order given. Ranges that follow one another in a file, or nearly, are one request.
   * Each call fetches again.
   * @throws MODEL_FETCH, MODEL_FORMAT, ABORTED, or what `take` throws
   */
  async read(ranges: readonly ByteRange[], take: TakeBytes, options: FetchOptions = {}): Promise<void> {
    const http: Http = { fetch: this.#fetch, signal: options.signal }
    const requests = this.#requests(ranges)
    const advance = progressMeter(
      ranges.reduce((total, { begin, end }) => total + end - begin, 0),
      options.onProgress,
    )
    const scattered = scatteredFiles(requests)
    for (const request of requests) {
      const { file } = request
      if (scattered.has(file)) await file.fetchWhole(http, (bytes) => advance(file.name, bytes))
      await readRequest(http, request, take, (bytes) => advance(file.name, bytes))
    }
  }

  #requests(ranges: readonly ByteRange[]): RangeRequest[] {
    const requests: RangeRequest[] = []
    for (const [index, range] of ranges.entries()) {
      const info = this.tensors.get(range.tensor)
      const file = info && this.#files[info.file]
      assert(file, `tensor ${range.tensor} is in the checkpoint`)
      assert(0 <= range.begin && range.begin <= range.end && range.end <= info.bytes, `range within ${range.tensor}`)
      if (range.begin === range.end) continue
      const part = { index, begin: info.offset + range.begin, end: info.offset + range.end }
      const last = requests.at(-1)
      if (last?.file === file && last.end <= part.begin && part.begin < last.end + GAP_BYTES) {
        last.end = part.end
        last.parts.push(part)
      } else {
        requests.push({ file, begin: part.begin, end: part.end, parts: [part] })
      }
    }
    return requests
  }
}

/**
 * The files of which many small parts are asked for, far from one another: those that mlx writes have their tensors in the order of a
 * hash table.
 */
function scatteredFiles(requests: readonly RangeRequest[]): Set<RemoteFile> {
  const asked = new Map<RemoteFile, { requests: number; bytes: number }>()
  for (const { file, begin, end } of requests) {
    const before = asked.get(file) ?? { requests: 0, bytes: 0 }
    asked.set(file, { requests: before.requests + 1, bytes: before.bytes + end - begin })
  }
  const files = [...asked].filter(([, of]) => of.requests > MANY_REQUESTS && of.bytes < SMALL_BYTES * of.requests)
  return new Set(files.map(([file]) => file))
}

async function readRequest(
  http: Http,
  { file, begin, end, parts }: RangeRequest,
  take: TakeBytes,
  advance: (bytes: number) => void,
): Promise<void> {
  let position = begin
  let next = 0
  for await (const chunk of file.read(http, begin, end)) {
    const chunkEnd = position + chunk.length
    for (let part = parts[next]; part && part.begin < chunkEnd; part = parts[next]) {
      const bytes = chunk.subarray(Math.max(0, part.begin - position), part.end - position)
      await take(part.index, bytes)
      advance(bytes.length)
      if (part.end > chunkEnd) break
      next += 1
    }
    position = chunkEnd
  }
}

/** Bytes that are more than the total are not counted: a file fetched whole has some that were not asked for. */
function progressMeter(total: number, report: FetchOptions['onProgress']): (file: string, bytes: number) => void {
  let loaded = 0
  let reported = 0
  return (file, bytes) => {
    loaded = Math.min(loaded + bytes, total)
    if (loaded === reported || (loaded < total && loaded - reported < total / PROGRESS_CALLS)) return
    reported = loaded
    report?.({ file, loaded, total })
  }
}
