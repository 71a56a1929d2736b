/**
 * The element types of ggml, by the number that a GGUF file gives them: how many values stand in a block, and in how many bytes. Most
 * of them the engine cannot decode (encoding.ts lists those it can); their sizes serve to check a file. Source: `GGML_QUANT_SIZES` in
 * gguf-py/gguf/constants.py of llama.cpp. It must never know names of tensors, nor where bytes come from.
 */

export interface GgmlBlock {
  /** ggml's name in lower case: 'q4_k' */
  readonly type: string
  /** in a block; a row is whole blocks */
  readonly values: number
  /** of a block */
  readonly bytes: number
}

type Row = readonly [id: number, type: string, values: number, bytes: number]

const ROWS: readonly Row[] = [
  [0, 'f32', 1, 4],
  [1, 'f16', 1, 2],
  [2, 'q4_0', 32, 18],
  [3, 'q4_1', 32, 20],
  [6, 'q5_0', 32, 22],
  [7, 'q5_1', 32, 24],
  [8, 'q8_0', 32, 34],
  [9, 'q8_1', 32, 36],
  [10, 'q2_k', 256, 84],
  [11, 'q3_k', 256, 110],
  [12, 'q4_k', 256, 144],
  [13, 'q5_k', 256, 176],
  [14, 'q6_k', 256, 210],
  [15, 'q8_k', 256, 292],
  [16, 'iq2_xxs', 256, 66],
  [17, 'iq2_xs', 256, 74],
  [18, 'iq3_xxs', 256, 98],
  [19, 'iq1_s', 256, 50],
  [20, 'iq4_nl', 32, 18],
  [21, 'iq3_s', 256, 110],
  [22, 'iq2_s', 256, 82],
  [23, 'iq4_xs', 256, 136],
  [24, 'i8', 1, 1],
  [25, 'i16', 1, 2],
  [26, 'i32', 1, 4],
  [27, 'i64', 1, 8],
  [28, 'f64', 1, 8],
  [29, 'iq1_m', 256, 56],
  [30, 'bf16', 1, 2],
  [34, 'tq1_0', 256, 54],
  [35, 'tq2_0', 256, 66],
  [39, 'mxfp4', 32, 17],
  [40, 'nvfp4', 64, 36],
  [41, 'q1_0', 128, 18],
]

/** By ggml's number. The numbers between are of types that ggml has removed. */
export const GGML_BLOCKS: ReadonlyMap<number, GgmlBlock> = new Map(
  ROWS.map(([id, type, values, bytes]) => [id, { type, values, bytes }]),
)
