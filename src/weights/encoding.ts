/**
 * How files hold a matrix of weights, and the format that each becomes in the engine. Decoders are beside this file, one for each
 * kind of file. It must never know names of tensors, nor where bytes come from.
 */

import type { QuantisedFormat, WeightFormat } from './format.ts'

export type Encoding =
  /** rows of values */
  | { readonly kind: 'plain'; readonly dtype: 'f32' | 'f16' | 'bf16' }
  /** rows of blocks, as ggml quantises them */
  | { readonly kind: 'ggml'; readonly type: GgmlType }
  /** rows of codes, rows of scales, rows of offsets */
  | { readonly kind: 'mlx'; readonly bits: 4 | 8; readonly group: 32 | 64 | 128; readonly halves: 'f16' | 'bf16' }
  /** three matrices [inputs or groups][outputs], packed: codes, zero points, scales (f16) */
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
