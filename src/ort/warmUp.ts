/**
 * Runs every session and the attention module before the first request: WebAssembly is compiled to fast code only after it has
 * run for a while, and ONNX Runtime allocates at the first run. Writes nothing to the KV cache.
 */

import type { StepGeometry } from '../core/stepGeometry.ts'
import { type HostModel, NO_SLOT, type RowBatch } from '../host/hostModel.ts'
import { WeirError } from '../protocol/errors.ts'

/** Passes at the fewest and at the most rows. */
const PASSES = 4

/** @throws ABORTED */
export async function warmUp(
  model: HostModel,
  { rows, sampled, maxBlocks }: StepGeometry,
  onPass: (done: number, total: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const sizes = [rows, 1]
  const total = sizes.length * PASSES
  for (let pass = 0; pass < total; pass++) {
    if (signal?.aborted) throw new WeirError('ABORTED', 'the load was aborted by its signal')
    const count = sizes[pass % sizes.length] ?? 1
    await model.forward(
      idleRows(count, maxBlocks),
      Int32Array.from({ length: Math.min(count, sampled) }, (_, i) => i),
    )
    onPass(pass + 1, total)
  }
}

/** Rows at position 0 whose K and V are not stored. */
function idleRows(count: number, maxBlocks: number): RowBatch {
  const blocks = new Int32Array(maxBlocks)
  return {
    count,
    ids: new Int32Array(count),
    positions: new Int32Array(count),
    slots: new Int32Array(count).fill(NO_SLOT),
    runs: Array.from({ length: count }, (_, firstRow) => ({ firstRow, rows: 1, position: 0, blocks })),
  }
}
