/** What every variant of `linear` must do. */

import { describe, expect, test } from 'vitest'
import type { LinearShape } from '../../src/kernels/linear.ts'
import type { KernelVariant } from '../../src/kernels/variant.ts'
import { formatName } from '../../src/weights/format.ts'
import { FULL } from '../helpers/full.ts'
import {
  expectAllClose,
  expectSameBits,
  POISON,
  randomFloats,
  randomInts,
  runVariants,
  type Written,
} from '../helpers/kernelHarness.ts'
import { BF16, F16, F32, OTHER_FORMATS, QUANTISED_FORMATS } from '../helpers/weightFormats.ts'
import { plainRows, type RandomWeight, randomWeight, storedMatrix } from '../helpers/weights.ts'

/** Rows of the buffers past those of the pass; the grid covers them too, and they must stay as they are. */
const SPARE_ROWS = 9

interface Case {
  readonly rows: number
  /** columns of the stored matrix */
  readonly stored: number
  readonly shape: LinearShape
}

const BASE = { firstColumn: 0, residual: false, scale: 1, softcap: 0, gather: false, bias: false } as const

interface CaseOptions extends Partial<Omit<LinearShape, 'k' | 'n'>> {
  /** columns of the stored matrix; default n */
  readonly stored?: number
}

function linearCase(rows: number, k: number, n: number, { stored = n, ...more }: CaseOptions = {}): Case {
  const { firstColumn = 0, outStride = n, outOffset = 0 } = more
  const place = { outStride, outOffset, biasOffset: firstColumn }
  return { rows, stored, shape: { ...BASE, k, n, ...place, format: BF16, ...more } }
}

const CASES: readonly Case[] = [
  // the shapes of the embedded model: QKV, o_proj, down, MTP fc, head
  linearCase(9, 192, 512),
  linearCase(33, 256, 192, { residual: true }),
  linearCase(7, 512, 192, { residual: true }),
  linearCase(8, 384, 192),
  linearCase(2, 192, 4096, { gather: true }),
  // of the small fixture
  linearCase(9, 64, 128, { format: F32 }),
  linearCase(7, 64, 512, { format: F32, gather: true }),
  linearCase(2, 128, 64, { format: F16, residual: true }),
  // odd ones: ranges of unequal length, empty ranges, columns that fill no tile
  linearCase(33, 100, 33, { residual: true, gather: true }),
  linearCase(9, 4, 7, { format: F32 }),
  linearCase(1, 192, 4099, { format: F16 }),
  linearCase(1, 64, 1),
  // part of a stored matrix, into part of a row
  linearCase(5, 192, 256, { stored: 512, firstColumn: 256 }),
  linearCase(6, 20, 13, { stored: 33, firstColumn: 20, format: F32, outStride: 40, outOffset: 17 }),
  // with a bias: of part of a matrix, odd sizes, before a residual
  linearCase(6, 20, 13, { stored: 33, firstColumn: 20, format: F32, bias: true }),
  linearCase(1, 4, 1, { format: F16, bias: true }),
  linearCase(33, 100, 33, { residual: true, gather: true, bias: true }),
  // scaled and capped
  linearCase(5, 64, 33, { residual: true, bias: true, scale: 0.22 }),
  linearCase(5, 64, 33, { scale: 1 / 3, softcap: 0.5 }),
  ...OTHER_FORMATS.map((format) => linearCase(6, 256, 45, { format, residual: true })),
]

interface Inputs {
  readonly weight: Pick<RandomWeight, 'codes' | 'scales' | 'values'>
  readonly x: Float32Array // [rows + SPARE_ROWS][k]
  readonly rowIndex: Uint32Array // [rows]
  readonly bias: Float32Array // [stored]
  readonly y: Float32Array // [rows][outStride]
}

function inputs({ rows, stored, shape }: Case): Inputs {
  const { k, n, outStride, format } = shape
  const sources = rows + SPARE_ROWS
  return {
    weight: randomWeight(format, k, stored, k),
    x: randomFloats(k + n, sources * k, 2),
    rowIndex: randomInts(rows, rows, sources),
    bias: randomFloats(stored + 1, stored, 3),
    y: randomFloats(stored, rows * outStride),
  }
}

/** [rows][n] */
function reference({ rows, shape }: Case, { weight, x, rowIndex, bias, y }: Inputs): Float64Array {
  const { k, n, firstColumn, outStride, outOffset, residual, scale, softcap, gather } = shape
  const out = new Float64Array(rows * n)
  for (let row = 0; row < rows; row++) {
    const source = gather ? (rowIndex[row] ?? 0) : row
    for (let column = 0; column < n; column++) {
      let sum = shape.bias ? (bias[firstColumn + column] ?? 0) : 0
      for (let i = 0; i < k; i++) {
        sum += (weight.values[(firstColumn + column) * k + i] ?? 0) * (x[source * k + i] ?? 0)
      }
      sum *= scale
      if (softcap > 0) sum = softcap * Math.tanh(sum / softcap)
      out[row * n + column] = sum + (residual ? (y[row * outStride + outOffset + column] ?? 0) : 0)
    }
  }
  return out
}

/** Runs the product. @returns y; everything outside the written columns of the rows must be as it was */
async function run(variants: readonly KernelVariant<LinearShape>[], each: Case, given: Inputs): Promise<Written> {
  const { rows, stored, shape } = each
  const y = new Float32Array((rows + SPARE_ROWS) * shape.outStride)
  new Uint32Array(y.buffer).fill(POISON)
  if (shape.residual) y.set(given.y.subarray(0, rows * shape.outStride))
  const before = y.slice()
  const { y: written } = await runVariants(variants, {
    shape,
    gridRows: rows + SPARE_ROWS,
    pass: { rows },
    buffers: {
      weight: given.weight.codes,
      scales: given.weight.scales,
      bias: shape.bias ? given.bias : stored,
      x: given.x,
      rowIndex: given.rowIndex,
      y,
    },
  })
  if (!written) throw new Error('linear writes y')
  const untouched = written.u32.slice()
  const { outStride, outOffset, n } = shape
  const was = new Uint32Array(before.buffer)
  for (let row = 0; row < rows; row++) {
    const at = row * outStride + outOffset
    untouched.set(was.subarray(at, at + n), at)
  }
  expectSameBits(untouched, was, 'what lies outside the columns of the product')
  return written
}

/** The written columns, [rows][n]. */
function columnsOf(written: Uint32Array | Float32Array, { rows, shape }: Case): Uint32Array | Float32Array {
  const { outStride, outOffset, n } = shape
  if (outStride === n) return written.subarray(0, rows * n)
  const parts = Array.from({ length: rows }, (_, row) => {
    const at = row * outStride + outOffset
    return [...written.subarray(at, at + n)]
  })
  return written instanceof Float32Array ? Float32Array.from(parts.flat()) : Uint32Array.from(parts.flat())
}

function name({ rows, stored, shape }: Case): string {
  const { k, n, firstColumn, residual, gather, bias, scale, softcap, format } = shape
  const part = stored === n ? '' : ` from column ${firstColumn} of ${stored}`
  const scaled = `${scale === 1 ? '' : ', scaled'}${softcap === 0 ? '' : ', capped'}`
  return `${rows} rows, ${k} to ${n}${part}, ${formatName(format)}${bias ? ', bias' : ''}${scaled}${residual ? ', residual' : ''}${gather ? ', gathered' : ''}`
}

/** Sizes at which formats are compared: odd numbers of columns, and K of one group or of ranges that begin inside a group. */
const LAW_SIZES = FULL
  ? [
      { rows: 1, k: 256, n: 1 },
      { rows: 3, k: 512, n: 33 },
      { rows: 9, k: 768, n: 45 },
      { rows: 2, k: 256, n: 1003 },
    ]
  : [{ rows: 3, k: 768, n: 45 }]

export function linearConformance(variants: readonly KernelVariant<LinearShape>[]): void {
  test.each(CASES.map((each) => ({ ...each, name: name(each) })))('$name', async (each) => {
    const given = inputs(each)
    const y = await run(variants, each, given)
    expectAllClose(columnsOf(y.f32, each), reference(each, given))
  })

  const compared = FULL ? QUANTISED_FORMATS : OTHER_FORMATS
  describe.each(compared.map((format) => ({ format, named: formatName(format) })))('$named', ({ format }) => {
    test.each(LAW_SIZES)('$rows rows, $k to $n: the bits of the dequantised matrix in f32', async ({ rows, k, n }) => {
      const each = linearCase(rows, k, n, { format })
      const given = inputs(each)
      const dequantised = storedMatrix(plainRows(given.weight.values, n, k))
      const expected = await run(variants, linearCase(rows, k, n, { format: F32 }), {
        ...given,
        weight: { ...dequantised, values: given.weight.values },
      })
      const actual = await run(variants, each, given)
      expectSameBits(actual.u32, expected.u32)
    })
  })

  test('a K of one group of 8 or 16', async () => {
    for (const [k, group] of [
      [16, 16],
      [32, 32],
      [40, undefined],
    ] as const) {
      const format = group ? ({ codes: 'u4', group, scales: { kind: 'offset', halves: 'f16' } } as const) : BF16
      const each = linearCase(2, k, 7, { format })
      const given = inputs(each)
      expectAllClose(columnsOf((await run(variants, each, given)).f32, each), reference(each, given))
    }
  })

  const many = linearCase(33, 100, 33)
  const { n } = many.shape

  test('a row has the same bits whatever the number of rows', async () => {
    for (const shape of [many.shape, { ...many.shape, k: 128, format: QUANTISED_FORMATS[1] ?? BF16 }]) {
      const given = inputs({ ...many, shape })
      const all = await run(variants, { ...many, shape }, given)
      for (const rows of [1, 2, 3, 4, 5, 6, 7, 8, 9, 16]) {
        const some = await run(variants, { ...many, shape, rows }, given)
        expectSameBits(some.u32.subarray(0, rows * n), all.u32.subarray(0, rows * n), `${rows} rows`)
      }
    }
  })

  test('a row has the same bits wherever it stands', async () => {
    const given = inputs(many)
    const straight = await run(variants, many, given)
    const rowIndex = Uint32Array.from({ length: 33 }, (_, row) => (row * 10) % 33)
    const shape = { ...many.shape, gather: true }
    const gathered = await run(variants, { ...many, shape }, { ...given, rowIndex })
    rowIndex.forEach((source, row) => {
      const [a, b] = [row * n, source * n]
      expectSameBits(gathered.u32.subarray(a, a + n), straight.u32.subarray(b, b + n), `row ${source} at ${row}`)
    })
    expect(new Set(rowIndex).size).toBe(33)
  })
}
