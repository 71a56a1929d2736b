/** Opens a safetensors file on a web server: reads its header, and only that. It must never know which tensors a model needs. */

import type { CheckpointFile } from './checkpoint.ts'
import { type Http, shortBody } from './http.ts'
import { RemoteFile, readStart } from './remoteFile.ts'
import { headerLength, LENGTH_BYTES, parseHeader } from './safetensors.ts'

/** Larger than the header of every dense model below 10 B. */
const HEADER_GUESS_BYTES = 256 * 1024

/**
 * Reads the header with a Range request, or from the start of the whole file if the server ignores Range.
 * @returns undefined when there is no such file
 * @throws MODEL_FETCH, MODEL_FORMAT, ABORTED
 */
export async function openSafetensors(http: Http, url: string, name: string): Promise<CheckpointFile | undefined> {
  let start = await readStart(http, url, HEADER_GUESS_BYTES)
  if (!start) return undefined
  const jsonBytes = headerLength(url, start.bytes, start.fileBytes)
  const dataStart = LENGTH_BYTES + jsonBytes
  if (dataStart > HEADER_GUESS_BYTES) start = (await readStart(http, url, dataStart)) ?? start
  if (start.bytes.length < dataStart) throw shortBody(url, start.bytes.length, dataStart)
  const dataBytes = start.fileBytes === undefined ? undefined : start.fileBytes - dataStart
  let end = dataStart
  const tensors = parseHeader(url, start.bytes.subarray(LENGTH_BYTES, dataStart), dataBytes).map((info) => {
    const offset = end
    end += info.bytes
    return { ...info, offset }
  })
  return { file: new RemoteFile(name, url, { dataStart, dataEnd: end, fileBytes: end }), tensors }
}
