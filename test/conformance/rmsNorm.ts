/** What every variant of `rmsNorm` must do. */

import { test } from 'vitest'
import type { RmsNormShape } from '../../src/kernels/rmsNorm.ts'
import type { KernelVariant } from '../../src/kernels/variant.ts'
import {
  expectAllClose,
  expectPoison,
  expectSameBits,
  randomFloats,
  runVariants,
  type Written,
} from '../helpers/kernelHarness.ts'

const NO_SLOT = 0xffffffff

/** Rows of the buffers past those of the pass; the grid covers them too, and they must stay as they are. */
const SPARE_ROWS = 5

const CASES: readonly (RmsNormShape & { readonly rows: number })[] = [
  { rows: 33, size: 192, eps: 1e-6, outStride: 192, outOffset: 0, bySlot: false },
  { rows: 7, size: 64, eps: 1e-5, outStride: 64, outOffset: 0, bySlot: false },
  // two norms side by side, as the drafter's input wants them
  { rows: 9, size: 192, eps: 1e-6, outStride: 384, outOffset: 192, bySlot: false },
  { rows: 2, size: 100, eps: 1e-6, outStride: 108, outOffset: 4, bySlot: false },
  { rows: 1, size: 4, eps: 1e-6, outStride: 4, outOffset: 0, bySlot: false },
  // hidden states that are kept
  { rows: 21, size: 192, eps: 1e-6, outStride: 192, outOffset: 0, bySlot: true },
  { rows: 1, size: 100, eps: 1e-6, outStride: 108, outOffset: 4, bySlot: true },
]

interface Inputs {
  readonly x: Float32Array // [rows + SPARE_ROWS][size]
  readonly weight: Float32Array // [size]
  readonly slots: Uint32Array // [rows + SPARE_ROWS]
}

function inputs({ size }: RmsNormShape, rows: number): Inputs {
  const total = rows + SPARE_ROWS
  // Every other slot from the last, and some rows have none.
  const slots = Uint32Array.from({ length: total }, (_, row) => (row % 5 === 3 ? NO_SLOT : 2 * (total - 1 - row)))
  return { x: randomFloats(size, total * size, 8), weight: randomFloats(size + 1, size, 2), slots }
}

/** Where a row is written; undefined: nowhere. */
function placeOf({ bySlot }: RmsNormShape, row: number, { slots }: Inputs): number | undefined {
  if (!bySlot) return row
  return slots[row] === NO_SLOT ? undefined : slots[row]
}

/** Row by row. */
function reference({ size, eps }: RmsNormShape, row: number, { x, weight }: Inputs): number[] {
  const values = Array.from(x.subarray(row * size, (row + 1) * size))
  const scale = 1 / Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / size + eps)
  return values.map((value, i) => value * scale * (weight[i] ?? 0))
}

async function run(
  variants: readonly KernelVariant<RmsNormShape>[],
  shape: RmsNormShape,
  rows: number,
  given: Inputs,
): Promise<Written> {
  const { out } = await runVariants(variants, {
    shape,
    gridRows: rows + SPARE_ROWS,
    pass: { rows },
    buffers: { ...given, out: 2 * (rows + SPARE_ROWS) * shape.outStride + shape.outOffset },
  })
  if (!out) throw new Error('rmsNorm writes out')
  return out
}

export function rmsNormConformance(variants: readonly KernelVariant<RmsNormShape>[]): void {
  test.each(CASES)('$rows rows of $size to $outOffset of $outStride, by slot: $bySlot', async ({ rows, ...shape }) => {
    const given = inputs(shape, rows)
    const out = await run(variants, shape, rows, given)
    const placed = Array.from({ length: rows }, (_, row) => ({ row, place: placeOf(shape, row, given) }))
      .filter((each): each is { row: number; place: number } => each.place !== undefined)
      .sort((a, b) => a.place - b.place)
    let end = 0
    for (const { row, place } of placed) {
      const start = place * shape.outStride + shape.outOffset
      expectPoison(out, end, start)
      end = start + shape.size
      expectAllClose(out.f32.subarray(start, end), reference(shape, row, given), { what: `row ${row}` })
    }
    expectPoison(out, end)
  })

  test('a row has the same bits whatever the number of rows', async () => {
    const shape = { size: 100, eps: 1e-6, outStride: 100, outOffset: 0, bySlot: false }
    const given = inputs(shape, 33)
    const all = await run(variants, shape, 33, given)
    for (const rows of [1, 2, 3, 4, 5, 16, 17]) {
      const some = await run(variants, shape, rows, given)
      expectSameBits(some.u32.subarray(0, rows * 100), all.u32.subarray(0, rows * 100), `${rows} rows`)
    }
  })

  test('a row of zeros stays zero', async () => {
    const shape = { size: 64, eps: 1e-5, outStride: 64, outOffset: 0, bySlot: false }
    const given = inputs(shape, 2)
    const out = await run(variants, shape, 2, { ...given, x: given.x.map((value, i) => (i < 64 ? 0 : value)) })
    expectAllClose(out.f32.subarray(0, 64), new Float32Array(64), { absolute: 0 })
  })
}
