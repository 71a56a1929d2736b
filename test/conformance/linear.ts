/** What every variant of `linear` must do. */

import { expect, test } from 'vitest'
import type { LinearShape } from '../../src/kernels/linear.ts'
import type { KernelVariant } from '../../src/kernels/variant.ts'
import {
  expectAllClose,
  expectPoison,
  expectSameBits,
  POISON,
  randomFloats,
  randomInts,
  runVariants,
  type Written,
} from '../helpers/kernelHarness.ts'
import { type RandomWeight, randomWeight } from '../helpers/weights.ts'

/** Rows of the buffers past those of the pass; the grid covers them too, and they must stay as they are. */
const SPARE_ROWS = 9

interface Case {
  readonly rows: number
  readonly shape: LinearShape
}

const BASE = { firstColumn: 0, residual: false, gather: false, bias: false, dtype: 'bf16' } as const

function linearCase(rows: number, k: number, n: number, more: Partial<LinearShape> = {}): Case {
  return { rows, shape: { ...BASE, k, n, weightColumns: n, ...more } }
}

const CASES: readonly Case[] = [
  // the shapes of the embedded model: QKV, o_proj, down, MTP fc, head
  linearCase(9, 192, 512),
  linearCase(33, 256, 192, { residual: true }),
  linearCase(7, 512, 192, { residual: true }),
  linearCase(8, 384, 192),
  linearCase(2, 192, 4096, { gather: true }),
  // of the small fixture
  linearCase(9, 64, 128, { dtype: 'f32' }),
  linearCase(7, 64, 512, { dtype: 'f32', gather: true }),
  linearCase(2, 128, 64, { dtype: 'f16', residual: true }),
  // odd ones: ranges of unequal length, empty ranges, columns that fill no tile
  linearCase(33, 100, 33, { residual: true, gather: true }),
  linearCase(9, 4, 7, { dtype: 'f32' }),
  linearCase(1, 192, 4099, { dtype: 'f16' }),
  linearCase(1, 64, 1),
  // part of a stored matrix
  linearCase(5, 192, 256, { weightColumns: 512, firstColumn: 256 }),
  linearCase(6, 20, 13, { weightColumns: 31, firstColumn: 18, dtype: 'f32' }),
  // with a bias: of part of a matrix, odd sizes, before a residual
  linearCase(6, 20, 13, { weightColumns: 31, firstColumn: 18, dtype: 'f32', bias: true }),
  linearCase(1, 4, 1, { dtype: 'f16', bias: true }),
  linearCase(33, 100, 33, { residual: true, gather: true, bias: true }),
]

interface Inputs {
  readonly weight: RandomWeight
  readonly x: Float32Array // [rows + SPARE_ROWS][k]
  readonly rowIndex: Uint32Array // [rows]
  readonly bias: Float32Array // [weightColumns]
  readonly y: Float32Array // [rows][n]
}

function inputs({ k, n, weightColumns, dtype }: LinearShape, rows: number): Inputs {
  const sources = rows + SPARE_ROWS
  return {
    weight: randomWeight(dtype, k, weightColumns, k),
    x: randomFloats(k + n, sources * k, 2),
    rowIndex: randomInts(rows, rows, sources),
    bias: randomFloats(weightColumns + 1, weightColumns, 3),
    y: randomFloats(weightColumns, rows * n),
  }
}

function reference(shape: LinearShape, rows: number, { weight, x, rowIndex, bias, y }: Inputs): Float64Array {
  const { k, n, firstColumn, residual, gather } = shape
  const out = new Float64Array(rows * n)
  for (let row = 0; row < rows; row++) {
    const source = gather ? (rowIndex[row] ?? 0) : row
    for (let column = 0; column < n; column++) {
      let sum = residual ? (y[row * n + column] ?? 0) : 0
      if (shape.bias) sum += bias[firstColumn + column] ?? 0
      for (let i = 0; i < k; i++) {
        sum += (weight.values[(firstColumn + column) * k + i] ?? 0) * (x[source * k + i] ?? 0)
      }
      out[row * n + column] = sum
    }
  }
  return out
}

async function run(
  variants: readonly KernelVariant<LinearShape>[],
  shape: LinearShape,
  rows: number,
  given: Inputs,
): Promise<Written> {
  const y = new Float32Array((rows + SPARE_ROWS) * shape.n)
  new Uint32Array(y.buffer).fill(POISON)
  if (shape.residual) y.set(given.y.subarray(0, rows * shape.n))
  const { y: written } = await runVariants(variants, {
    shape,
    gridRows: rows + SPARE_ROWS,
    pass: { rows },
    buffers: {
      weight: given.weight.words,
      bias: shape.bias ? given.bias : shape.weightColumns,
      x: given.x,
      rowIndex: given.rowIndex,
      y,
    },
  })
  if (!written) throw new Error('linear writes y')
  return written
}

function name({ rows, shape }: Case): string {
  const { k, n, weightColumns, firstColumn, residual, gather, bias, dtype } = shape
  const part = weightColumns === n ? '' : ` from column ${firstColumn} of ${weightColumns}`
  return `${rows} rows, ${k} to ${n}${part}, ${dtype}${bias ? ', bias' : ''}${residual ? ', residual' : ''}${gather ? ', gathered' : ''}`
}

export function linearConformance(variants: readonly KernelVariant<LinearShape>[]): void {
  test.each(CASES.map((each) => ({ ...each, name: name(each) })))('$name', async ({ rows, shape }) => {
    const given = inputs(shape, rows)
    const y = await run(variants, shape, rows, given)
    expectAllClose(y.f32.subarray(0, rows * shape.n), reference(shape, rows, given))
    expectPoison(y, rows * shape.n)
  })

  const { shape } = linearCase(33, 100, 33)
  const n = shape.n

  test('a row has the same bits whatever the number of rows', async () => {
    const given = inputs(shape, 33)
    const all = await run(variants, shape, 33, given)
    for (const rows of [1, 2, 3, 4, 5, 6, 7, 8, 9, 16]) {
      const some = await run(variants, shape, rows, given)
      expectSameBits(some.u32.subarray(0, rows * n), all.u32.subarray(0, rows * n), `${rows} rows`)
    }
  })

  test('a row has the same bits wherever it stands', async () => {
    const given = inputs(shape, 33)
    const straight = await run(variants, shape, 33, given)
    const rowIndex = Uint32Array.from({ length: 33 }, (_, row) => (row * 10) % 33)
    const gathered = await run(variants, { ...shape, gather: true }, 33, { ...given, rowIndex })
    rowIndex.forEach((source, row) => {
      const [a, b] = [row * n, source * n]
      expectSameBits(gathered.u32.subarray(a, a + n), straight.u32.subarray(b, b + n), `row ${source} at ${row}`)
    })
    expect(new Set(rowIndex).size).toBe(33)
  })
}
