/** Files in memory behind a `fetch` that answers whole or by ranges, honestly or not: checkpoints without a server. */

import { Checkpoint, type CheckpointFile } from '../../src/loader/checkpoint.ts'
import type { Fetch } from '../../src/loader/http.ts'
import { RemoteFile } from '../../src/loader/remoteFile.ts'

export interface MemoryFile {
  readonly name: string
  readonly bytes: Uint8Array
  /** in file order; what is before the first is the header */
  readonly tensors: Readonly<Record<string, readonly [begin: number, end: number]>>
}

/** The `Range` header, and what is to be answered to it; `undefined` for a plain GET. */
export type Answer = (bytes: Uint8Array, range: readonly [begin: number, end: number] | undefined) => Response

export interface SeenFetch {
  readonly name: string
  /** "begin-end" as asked for; undefined: whole */
  readonly range: string | undefined
  readonly cache: string | undefined
}

export interface MemoryCheckpoint {
  readonly checkpoint: Checkpoint
  readonly requests: SeenFetch[]
}

export const honest: Answer = (bytes, range) => {
  if (!range) return new Response(bytes.slice(), { headers: { 'content-length': String(bytes.length) } })
  const part = bytes.slice(...range)
  const headers = {
    'content-length': String(part.length),
    'content-range': `bytes ${range[0]}-${range[0] + part.length - 1}/${bytes.length}`,
  }
  return new Response(part, { status: 206, headers })
}

export const withoutRanges: Answer = (bytes) => honest(bytes, undefined)

export function memoryCheckpoint(files: readonly MemoryFile[], answer: Answer = honest): MemoryCheckpoint {
  const requests: SeenFetch[] = []
  const fetch: Fetch = async (input, init) => {
    init?.signal?.throwIfAborted()
    const name = new URL(String(input)).pathname.slice(1)
    const file = files.find((each) => each.name === name)
    if (!file) return new Response('not found', { status: 404 })
    const asked = /^bytes=(\d+)-(\d+)$/.exec(new Headers(init?.headers).get('range') ?? '')
    requests.push({ name, range: asked ? `${asked[1]}-${asked[2]}` : undefined, cache: init?.cache })
    return answer(file.bytes, asked ? [Number(asked[1]), Number(asked[2]) + 1] : undefined)
  }
  return { checkpoint: new Checkpoint(fetch, files.map(opened)), requests }
}

function opened({ name, bytes, tensors }: MemoryFile): CheckpointFile {
  const placed = Object.entries(tensors).map(([tensor, [begin, end]]) => {
    return { name: tensor, dtype: 'U8', shape: [end - begin], bytes: end - begin, offset: begin }
  })
  const size = { dataStart: placed[0]?.offset ?? 0, dataEnd: bytes.length, fileBytes: bytes.length }
  return { file: new RemoteFile(name, `https://models.test/${name}`, size), tensors: placed }
}

/** Tensors one after another behind a header; every byte of the file is random, by its place. */
export function memoryFile(name: string, headerBytes: number, sizes: Readonly<Record<string, number>>): MemoryFile {
  let end = headerBytes
  const tensors = Object.fromEntries(
    Object.entries(sizes).map(([tensor, bytes]) => {
      const begin = end
      end += bytes
      return [tensor, [begin, end] as const]
    }),
  )
  const bytes = Uint8Array.from({ length: end }, (_, i) => (Math.imul(i + name.length, 2654435761) >>> 13) & 0xff)
  return { name, bytes, tensors }
}
