/**
 * How files hold a matrix of weights, and the format that each becomes in the engine. Decoders are beside this file, one for each
 * kind of file. It must never know names of tensors, nor where bytes come from.
 */

import { assert } from '../util/math.ts'
import { WEIGHT_BYTES } from './decode.ts'
import type { PlainFormat, QuantisedFormat, WeightFormat } from './format.ts'
import { GGML_BLOCKS, type GgmlBlock } from './ggmlTypes.ts'

export type Encoding =
  /** rows of values */
  | { readonly kind: 'plain'; readonly dtype: PlainFormat['codes'] }
  /** rows of blocks, as ggml quantises them */
  | { readonly kind: 'ggml'; readonly type: GgmlType }
  /** rows of codes, rows of scales, rows of offsets */
  | { readonly kind: 'mlx'; readonly bits: 4 | 8; readonly group: 32 | 64 | 128; readonly halves: 'f16' | 'bf16' }
  /**
   * three matrices [inputs or groups][outputs], packed: codes, zero points, scales (f16). `gptq` packs 8 inputs in a word of codes,
   * `awq` 8 outputs.
   */
  | { readonly kind: 'gptq'; readonly group: 32 | 64 | 128; readonly zeros: 'less one' | 'as they are' }
  | { readonly kind: 'awq'; readonly group: 32 | 64 | 128 }

export type GgmlType = 'q4_0' | 'q4_1' | 'q5_0' | 'q5_1' | 'q8_0' | 'q4_k' | 'q5_k' | 'q6_k'

const half = (zero: number): QuantisedFormat['scales'] => ({ kind: 'half', zero })
const OFFSET: QuantisedFormat['scales'] = { kind: 'offset', halves: 'f16' }
const SUPER: QuantisedFormat['scales'] = { kind: 'super' }

const GGML_FORMATS: Readonly<Record<GgmlType, QuantisedFormat>> = {
  q4_0: { codes: 'u4', group: 32, scales: half(8) },
  q4_1: { codes: 'u4', group: 32, scales: OFFSET },
  q5_0: { codes: 'u8', group: 32, scales: half(16) },
  q5_1: { codes: 'u8', group: 32, scales: OFFSET },
  q8_0: { codes: 'u8', group: 32, scales: half(128) },
  q4_k: { codes: 'u4', group: 32, scales: SUPER },
  q5_k: { codes: 'u8', group: 32, scales: SUPER },
  q6_k: { codes: 'u8', group: 16, scales: SUPER },
}

/** The engine's format of a matrix that a file holds in this encoding. Lossless. */
export function formatOf(encoding: Encoding): WeightFormat {
  switch (encoding.kind) {
    case 'plain':
      return { codes: encoding.dtype }
    case 'ggml':
      return GGML_FORMATS[encoding.type]
    case 'mlx': {
      const scales = { kind: 'offset', halves: encoding.halves } as const
      return { codes: encoding.bits === 4 ? 'u4' : 'u8', group: encoding.group, scales }
    }
    case 'gptq':
    case 'awq':
      return { codes: 'u4', group: encoding.group, scales: { kind: 'zeroPoint' } }
  }
}

function blockOf(type: GgmlType): GgmlBlock {
  const block = [...GGML_BLOCKS.values()].find((each) => each.type === type)
  assert(block, `${type} is a type of ggml`)
  return block
}

/** Whether the file's tensors are rows one after another, so that some rows can be decoded without the others. */
export function isRowWise(encoding: Encoding): boolean {
  return encoding.kind !== 'gptq' && encoding.kind !== 'awq'
}

/** What the inputs of a row are a multiple of. */
export function inputsUnit(encoding: Encoding): number {
  if (encoding.kind === 'plain') return 1
  return encoding.kind === 'ggml' ? blockOf(encoding.type).values : encoding.group
}

/**
 * Bytes of one row in each of the file's tensors, in their order.
 * @param encoding a row-wise one
 * @param inputs a multiple of `inputsUnit(encoding)`
 */
export function encodingBytes(encoding: Encoding, inputs: number): number[] {
  const unit = inputsUnit(encoding)
  assert(inputs % unit === 0, `blocks of ${unit} divide ${inputs} inputs`)
  switch (encoding.kind) {
    case 'plain':
      return [inputs * WEIGHT_BYTES[encoding.dtype]]
    case 'ggml':
      return [(inputs / unit) * blockOf(encoding.type).bytes]
    case 'mlx': {
      const scales = (inputs / encoding.group) * 2
      return [(inputs * encoding.bits) / 8, scales, scales]
    }
    default:
      throw new Error(`invariant: ${encoding.kind} has no rows`)
  }
}

/**
 * Bytes of `rows` rows in each of the file's tensors, in their order; of the whole matrix, if the encoding is not row-wise.
 * @param rows a multiple of 8 for `gptq` and `awq`
 * @param inputs a multiple of `inputsUnit(encoding)`
 */
export function matrixBytes(encoding: Encoding, rows: number, inputs: number): number[] {
  if (encoding.kind !== 'gptq' && encoding.kind !== 'awq') {
    return encodingBytes(encoding, inputs).map((bytes) => bytes * rows)
  }
  const { group } = encoding
  assert(
    inputs % group === 0 && rows % 8 === 0,
    `${rows} outputs and ${inputs} inputs fill words and groups of ${group}`,
  )
  const groups = inputs / group
  return [(rows * inputs) / 2, (rows * groups) / 2, rows * groups * 2]
}
