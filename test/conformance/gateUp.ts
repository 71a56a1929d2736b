/** What every variant of `gateUp` must do. */

import { test } from 'vitest'
import type { GateUpShape } from '../../src/kernels/gateUp.ts'
import type { KernelVariant } from '../../src/kernels/variant.ts'
import { formatName } from '../../src/weights/format.ts'
import { activated } from '../helpers/activations.ts'
import { FULL } from '../helpers/full.ts'
import {
  expectAllClose,
  expectPoison,
  expectSameBits,
  randomFloats,
  runVariants,
  type Written,
} from '../helpers/kernelHarness.ts'
import { BF16, F16, F32, OTHER_FORMATS, QUANTISED_FORMATS } from '../helpers/weightFormats.ts'
import { plainRows, type RandomWeight, randomWeight, storedMatrix } from '../helpers/weights.ts'

/** Rows of the buffers past those of the pass; the grid covers them too, and they must stay as they are. */
const SPARE_ROWS = 9

type Case = GateUpShape & { readonly rows: number }

const CASES: readonly Case[] = [
  { rows: 9, k: 192, n: 512, format: BF16, activation: 'silu' },
  { rows: 33, k: 64, n: 128, format: F32, activation: 'silu' },
  { rows: 7, k: 100, n: 33, format: F16, activation: 'silu' },
  { rows: 1, k: 4, n: 7, format: BF16, activation: 'silu' },
  { rows: 2, k: 192, n: 512, format: BF16, activation: 'silu' },
  { rows: 6, k: 20, n: 13, format: F32, activation: 'silu' },
  { rows: 7, k: 100, n: 33, format: F16, activation: 'gelu_tanh' },
  { rows: 2, k: 20, n: 13, format: BF16, activation: 'gelu_tanh' },
  ...OTHER_FORMATS.map((format) => ({ rows: 6, k: 256, n: 45, format, activation: 'silu' as const })),
]

type Matrix = Pick<RandomWeight, 'codes' | 'scales' | 'values'>

interface Inputs {
  readonly gate: Matrix
  readonly up: Matrix
  readonly x: Float32Array // [rows + SPARE_ROWS][k]
}

function inputs({ k, n, format }: GateUpShape, rows: number): Inputs {
  return {
    gate: randomWeight(format, 2 * k, n, k),
    up: randomWeight(format, 2 * k + 1, n, k),
    x: randomFloats(n, (rows + SPARE_ROWS) * k, 4),
  }
}

function reference({ k, n, activation }: GateUpShape, rows: number, { gate, up, x }: Inputs): Float64Array {
  return Float64Array.from({ length: rows * n }, (_, at) => {
    const [row, column] = [Math.floor(at / n), at % n]
    let [g, u] = [0, 0]
    for (let i = 0; i < k; i++) {
      g += (gate.values[column * k + i] ?? 0) * (x[row * k + i] ?? 0)
      u += (up.values[column * k + i] ?? 0) * (x[row * k + i] ?? 0)
    }
    return activated(activation, g) * u
  })
}

async function run(
  variants: readonly KernelVariant<GateUpShape>[],
  shape: GateUpShape,
  rows: number,
  { gate, up, x }: Inputs,
): Promise<Written> {
  const { y } = await runVariants(variants, {
    shape,
    gridRows: rows + SPARE_ROWS,
    pass: { rows },
    buffers: {
      gate: gate.codes,
      gateScales: gate.scales,
      up: up.codes,
      upScales: up.scales,
      x,
      y: (rows + SPARE_ROWS) * shape.n,
    },
  })
  if (!y) throw new Error('gateUp writes y')
  return y
}

export function gateUpConformance(variants: readonly KernelVariant<GateUpShape>[]): void {
  test.each(CASES.map((each) => ({ ...each, named: formatName(each.format) })))(
    '$rows rows, $k to $n, $named, $activation',
    async (each) => {
      const { rows, k, n, format, activation } = each
      const shape = { k, n, format, activation }
      const given = inputs(shape, rows)
      const y = await run(variants, shape, rows, given)
      expectAllClose(y.f32.subarray(0, rows * shape.n), reference(shape, rows, given))
      expectPoison(y, rows * shape.n)
    },
  )

  const compared = FULL ? QUANTISED_FORMATS : OTHER_FORMATS
  test.each(compared.map((format) => ({ format, named: formatName(format) })))(
    '$named: the bits of the dequantised matrices in f32',
    async ({ format }) => {
      const shape = { k: 256, n: 45, format, activation: 'silu' } as const
      const given = inputs(shape, 3)
      const plain = ({ values }: Matrix): Matrix => ({ ...storedMatrix(plainRows(values, 45, 256)), values })
      const dequantised = { ...given, gate: plain(given.gate), up: plain(given.up) }
      const expected = await run(variants, { ...shape, format: F32 }, 3, dequantised)
      expectSameBits((await run(variants, shape, 3, given)).u32, expected.u32)
    },
  )

  test('a row has the same bits whatever the number of rows', async () => {
    const shape = { k: 100, n: 33, format: F16, activation: 'silu' } as const
    const given = inputs(shape, 33)
    const all = await run(variants, shape, 33, given)
    for (const rows of [1, 2, 3, 4, 5, 6, 7, 8, 9, 16]) {
      const some = await run(variants, shape, rows, given)
      expectSameBits(some.u32.subarray(0, rows * shape.n), all.u32.subarray(0, rows * shape.n), `${rows} rows`)
    }
  })

  test.each(['silu', 'gelu_tanh'] as const)(
    '%s of a gate far from zero neither overflows nor passes',
    async (activation) => {
      const shape = { k: 4, n: 7, format: BF16, activation } as const
      const given = inputs(shape, 2)
      const y = await run(variants, shape, 2, { ...given, x: given.x.map((value) => value * 1e4) })
      expectAllClose(y.f32.subarray(0, 14), reference(shape, 2, { ...given, x: given.x.map((value) => value * 1e4) }))
    },
  )
}
