/** From the bytes of a file's tensors to the engine's rows, without loss. It must never know where bytes come from. */

import { assert, at } from '../util/math.ts'
import { awqRows } from './awqRows.ts'
import { type Encoding, matrixBytes } from './encoding.ts'
import type { WeightRows } from './format.ts'
import { ggmlRows } from './ggmlRows.ts'
import { ggmlSuperRows, isSuperBlock } from './ggmlSuperRows.ts'
import { gptqRows } from './gptqRows.ts'
import { mlxRows } from './mlxRows.ts'
import { plainRows } from './plainRows.ts'

/**
 * Decodes rows whose sizes the caller has checked (`matrixBytes`). Contents may be anything: a scale that is not finite stays one.
 * The result may share memory with `data` and begin at any offset of it.
 * @param data one array for each of the file's tensors, in the order that `Encoding` gives; they may begin at any offset. Exactly these
 *   rows, or the whole matrix where the encoding is not row-wise
 * @param inputs of a row
 */
export function decodeRows(encoding: Encoding, data: readonly Uint8Array[], rows: number, inputs: number): WeightRows {
  const sizes = matrixBytes(encoding, rows, inputs)
  const given = data.map(({ byteLength }) => byteLength)
  assert(sizes.join() === given.join(), `${rows} rows of ${inputs} have ${sizes} bytes, not ${given}`)
  switch (encoding.kind) {
    case 'plain':
      return plainRows(encoding.dtype, at(data, 0), rows, inputs)
    case 'ggml':
      return isSuperBlock(encoding.type)
        ? ggmlSuperRows(encoding.type, at(data, 0), rows, inputs)
        : ggmlRows(encoding.type, at(data, 0), rows, inputs)
    case 'mlx':
      return mlxRows(encoding, data, rows, inputs)
    case 'gptq':
      return gptqRows(encoding, data, rows, inputs)
    case 'awq':
      return awqRows(encoding, data, rows, inputs)
  }
}
