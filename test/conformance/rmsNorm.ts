/** What every variant of `rmsNorm` must do. */

import { test } from 'vitest'
import type { RmsNormShape } from '../../src/kernels/rmsNorm.ts'
import type { KernelVariant } from '../../src/kernels/variant.ts'
import { at } from '../../src/util/math.ts'
import {
  expectAllClose,
  expectSameBits,
  POISON,
  randomFloats,
  runVariants,
  type Written,
} from '../helpers/kernelHarness.ts'

const NO_SLOT = 0xffffffff

/** Rows of the buffers past those of the pass; the grid covers them too, and they must stay as they are. */
const SPARE_ROWS = 5

/** A norm of whole rows to whole rows. */
function plain(size: number, eps: number): RmsNormShape {
  const [inOffset, outOffset] = [0, 0]
  return { size, eps, inStride: size, inOffset, outStride: size, outOffset, bySlot: false, addScale: undefined }
}

const CASES: readonly (RmsNormShape & { readonly rows: number })[] = [
  { rows: 33, ...plain(192, 1e-6) },
  { rows: 7, ...plain(64, 1e-5) },
  // two norms side by side, as the drafter's input wants them
  { rows: 9, ...plain(192, 1e-6), outStride: 384, outOffset: 192 },
  { rows: 2, ...plain(100, 1e-6), outStride: 108, outOffset: 4 },
  { rows: 1, ...plain(4, 1e-6) },
  // hidden states that are kept
  { rows: 21, ...plain(192, 1e-6), bySlot: true },
  { rows: 1, ...plain(100, 1e-6), outStride: 108, outOffset: 4, bySlot: true },
  // part of a row, as a norm over all key heads wants it
  { rows: 9, ...plain(64, 1e-6), inStride: 200, inOffset: 128, outStride: 200, outOffset: 128 },
  { rows: 2, ...plain(100, 1e-5), inStride: 104, inOffset: 4 },
  // added to the residual stream
  { rows: 9, ...plain(192, 1e-6), addScale: 1 },
  { rows: 5, ...plain(100, 1e-6), inStride: 112, inOffset: 8, outStride: 104, outOffset: 4, addScale: 0.22 },
  { rows: 21, ...plain(64, 1e-6), bySlot: true, addScale: -3 },
]

interface Inputs {
  readonly x: Float32Array // [rows + SPARE_ROWS][inStride], from inOffset
  readonly weight: Float32Array // [size]
  readonly slots: Uint32Array // [rows + SPARE_ROWS]
  readonly before: Float32Array // what `out` holds: poison, or values to add to
}

function inputs({ size, inStride, inOffset, outStride, outOffset, addScale }: RmsNormShape, rows: number): Inputs {
  const total = rows + SPARE_ROWS
  // Every other slot from the last, and some rows have none.
  const slots = Uint32Array.from({ length: total }, (_, row) => (row % 5 === 3 ? NO_SLOT : 2 * (total - 1 - row)))
  const words = 2 * total * outStride + outOffset
  const poison = new Float32Array(new Uint32Array(words).fill(POISON).buffer)
  return {
    x: randomFloats(size, total * inStride + inOffset, 8),
    weight: randomFloats(size + 1, size, 2),
    slots,
    before: addScale === undefined ? poison : randomFloats(size + 2, words, 3),
  }
}

/** Where a row is written; undefined: nowhere. */
function placeOf({ bySlot }: RmsNormShape, row: number, { slots }: Inputs): number | undefined {
  if (!bySlot) return row
  return slots[row] === NO_SLOT ? undefined : slots[row]
}

/** A row, which is written from word `start` on. */
function reference(shape: RmsNormShape, row: number, start: number, { x, weight, before }: Inputs): number[] {
  const { size, eps, inStride, inOffset, addScale } = shape
  const values = Array.from(x.subarray(row * inStride + inOffset).subarray(0, size))
  const scale = 1 / Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / size + eps)
  const normed = values.map((value, i) => value * scale * at(weight, i))
  return addScale === undefined ? normed : normed.map((value, i) => at(before, start + i) + addScale * value)
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
    buffers: { ...given, out: given.before },
  })
  if (!out) throw new Error('rmsNorm writes out')
  return out
}

export function rmsNormConformance(variants: readonly KernelVariant<RmsNormShape>[]): void {
  test.each(CASES)(
    '$rows rows of $size from $inOffset of $inStride to $outOffset of $outStride, by slot: $bySlot, add: $addScale',
    async ({ rows, ...shape }) => {
      const given = inputs(shape, rows)
      const out = await run(variants, shape, rows, given)
      const placed = Array.from({ length: rows }, (_, row) => ({ row, place: placeOf(shape, row, given) }))
        .filter((each): each is { row: number; place: number } => each.place !== undefined)
        .sort((a, b) => a.place - b.place)
      let end = 0
      for (const { row, place } of placed) {
        const start = place * shape.outStride + shape.outOffset
        expectSameBits(out.f32.subarray(end, start), given.before.subarray(end, start), `before row ${row}`)
        end = start + shape.size
        expectAllClose(out.f32.subarray(start, end), reference(shape, row, start, given), { what: `row ${row}` })
      }
      expectSameBits(out.f32.subarray(end), given.before.subarray(end), 'after the last row')
    },
  )

  test('a row has the same bits whatever the number of rows', async () => {
    const shape = plain(100, 1e-6)
    const given = inputs(shape, 33)
    const all = await run(variants, shape, 33, given)
    for (const rows of [1, 2, 3, 4, 5, 16, 17]) {
      const some = await run(variants, shape, rows, given)
      expectSameBits(some.u32.subarray(0, rows * 100), all.u32.subarray(0, rows * 100), `${rows} rows`)
    }
  })

  test('a row of zeros stays zero', async () => {
    const shape = plain(64, 1e-5)
    const given = inputs(shape, 2)
    const out = await run(variants, shape, 2, { ...given, x: given.x.map((value, i) => (i < 64 ? 0 : value)) })
    expectAllClose(out.f32.subarray(0, 64), new Float32Array(64), { absolute: 0 })
  })
}
