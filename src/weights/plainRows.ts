/** Rows of plain values are the engine's rows already. It must never know where bytes come from. */

import type { PlainFormat, WeightRows } from './format.ts'

/** Not copied: the codes are `bytes`. */
export function plainRows(codes: PlainFormat['codes'], bytes: Uint8Array, rows: number, inputs: number): WeightRows {
  return { format: { codes }, inputs, count: rows, codes: bytes, scales: new Uint32Array(0) }
}
