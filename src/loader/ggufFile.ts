/** Opens a GGUF model on a web server, one file or several: reads the headers, and only those. It must never know what metadata mean. */

import type { GgufMetadata, GgufTensor } from '../models/ggufFields.ts'
import { WeirError } from '../protocol/errors.ts'
import { Checkpoint, type CheckpointFile } from './checkpoint.ts'
import { GGUF_START_BYTES, parseGguf } from './gguf.ts'
import { splitNames } from './ggufSplit.ts'
import { type Http, shortBody } from './http.ts'
import { growStart, RemoteFile, readStart } from './remoteFile.ts'

export interface GgufModel {
  /** of the first file */
  readonly metadata: GgufMetadata
  /** of all files */
  readonly tensors: readonly GgufTensor[]
  readonly checkpoint: Checkpoint
}

interface GgufFile {
  readonly metadata: GgufMetadata
  readonly tensors: readonly GgufTensor[]
  readonly opened: CheckpointFile
}

/**
 * @param name of the file, or of any one where the model is split
 * @param urlOf the URL of a file beside it
 * @throws MODEL_FETCH, MODEL_FORMAT, ABORTED
 */
export async function openGguf(http: Http, name: string, urlOf: (name: string) => string): Promise<GgufModel> {
  const named = await openFile(http, urlOf(name), name)
  const files: GgufFile[] = []
  for (const part of splitNames(name, named.metadata)) {
    const file = part === name ? named : await openFile(http, urlOf(part), part)
    splitNames(part, file.metadata)
    files.push(file)
  }
  return {
    metadata: (files[0] ?? named).metadata,
    tensors: files.flatMap(({ tensors }) => tensors),
    checkpoint: new Checkpoint(
      http.fetch,
      files.map(({ opened }) => opened),
    ),
  }
}

/** Reads the header with a Range request, then with further ones if it is longer. */
async function openFile(http: Http, url: string, name: string): Promise<GgufFile> {
  let start = await readStart(http, url, GGUF_START_BYTES)
  if (!start) throw new WeirError('MODEL_FETCH', `cannot fetch ${url}: HTTP 404 Not Found`, { url, status: 404 })
  for (;;) {
    const header = parseGguf(url, start.bytes, start.fileBytes)
    if (!('needs' in header)) {
      const { metadata, tensors, dataStart } = header
      const placed = tensors.map((tensor) => {
        return {
          name: tensor.name,
          dtype: tensor.type,
          shape: tensor.shape,
          bytes: tensor.bytes,
          offset: dataStart + tensor.offset,
        }
      })
      const dataEnd = placed.reduce((end, { offset, bytes }) => Math.max(end, offset + bytes), dataStart)
      const file = new RemoteFile(name, url, { dataStart, dataEnd, fileBytes: start.fileBytes })
      return { metadata, tensors, opened: { file, tensors: placed } }
    }
    const before = start.bytes.length
    start = await growStart(http, url, start, header.needs)
    if (start.bytes.length <= before) throw shortBody(url, start.bytes.length, header.needs)
  }
}
