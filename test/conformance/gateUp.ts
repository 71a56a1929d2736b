/** What every variant of `gateUp` must do. */

import { test } from 'vitest'
import type { GateUpShape } from '../../src/kernels/gateUp.ts'
import type { KernelVariant } from '../../src/kernels/variant.ts'
import { activated } from '../helpers/activations.ts'
import {
  expectAllClose,
  expectPoison,
  expectSameBits,
  randomFloats,
  runVariants,
  type Written,
} from '../helpers/kernelHarness.ts'
import { type RandomWeight, randomWeight } from '../helpers/weights.ts'

/** Rows of the buffers past those of the pass; the grid covers them too, and they must stay as they are. */
const SPARE_ROWS = 9

const CASES: readonly (GateUpShape & { readonly rows: number })[] = [
  { rows: 9, k: 192, n: 512, dtype: 'bf16', activation: 'silu' },
  { rows: 33, k: 64, n: 128, dtype: 'f32', activation: 'silu' },
  { rows: 7, k: 100, n: 33, dtype: 'f16', activation: 'silu' },
  { rows: 1, k: 4, n: 7, dtype: 'bf16', activation: 'silu' },
  { rows: 2, k: 192, n: 512, dtype: 'bf16', activation: 'silu' },
  { rows: 6, k: 20, n: 13, dtype: 'f32', activation: 'silu' },
  { rows: 7, k: 100, n: 33, dtype: 'f16', activation: 'gelu_tanh' },
  { rows: 2, k: 20, n: 13, dtype: 'bf16', activation: 'gelu_tanh' },
]

interface Inputs {
  readonly gate: RandomWeight
  readonly up: RandomWeight
  readonly x: Float32Array // [rows + SPARE_ROWS][k]
}

function inputs({ k, n, dtype }: GateUpShape, rows: number): Inputs {
  return {
    gate: randomWeight(dtype, 2 * k, n, k),
    up: randomWeight(dtype, 2 * k + 1, n, k),
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
    buffers: { gate: gate.words, up: up.words, x, y: (rows + SPARE_ROWS) * shape.n },
  })
  if (!y) throw new Error('gateUp writes y')
  return y
}

export function gateUpConformance(variants: readonly KernelVariant<GateUpShape>[]): void {
  test.each(CASES)('$rows rows, $k to $n, $dtype, $activation', async ({ rows, ...shape }) => {
    const given = inputs(shape, rows)
    const y = await run(variants, shape, rows, given)
    expectAllClose(y.f32.subarray(0, rows * shape.n), reference(shape, rows, given))
    expectPoison(y, rows * shape.n)
  })

  test('a row has the same bits whatever the number of rows', async () => {
    const shape = { k: 100, n: 33, dtype: 'f16', activation: 'silu' } as const
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
      const shape = { k: 4, n: 7, dtype: 'bf16', activation } as const
      const given = inputs(shape, 2)
      const y = await run(variants, shape, 2, { ...given, x: given.x.map((value) => value * 1e4) })
      expectAllClose(y.f32.subarray(0, 14), reference(shape, 2, { ...given, x: given.x.map((value) => value * 1e4) }))
    },
  )
}
