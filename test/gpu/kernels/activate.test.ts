import { describe, test } from 'vitest'
import { type ActivateShape, activate } from '../../../src/kernels/activate.ts'
import { gateUp } from '../../../src/kernels/gateUp.ts'
import { linear } from '../../../src/kernels/linear.ts'
import { at } from '../../../src/util/math.ts'
import { activated } from '../../helpers/activations.ts'
import { expectAllClose, expectPoison, expectSameBits, randomFloats, runKernel } from '../../helpers/kernelHarness.ts'
import { BF16 } from '../../helpers/weightFormats.ts'
import { type RandomWeight, randomWeight } from '../../helpers/weights.ts'

/** Rows of the buffers past those of the pass; the grid covers them too, and they must stay as they are. */
const SPARE_ROWS = 3

const CASES: readonly (Omit<ActivateShape, 'activation'> & { readonly rows: number })[] = [
  { rows: 5, n: 100, gate: { stride: 100, offset: 0 }, up: { stride: 100, offset: 0 }, bias: false },
  { rows: 3, n: 260, gate: { stride: 260, offset: 0 }, up: { stride: 272, offset: 8 }, bias: true },
  { rows: 1, n: 4, gate: { stride: 12, offset: 4 }, up: { stride: 4, offset: 0 }, bias: true },
]

describe.each(['silu', 'gelu_tanh'] as const)('activate, %s', (activation) => {
  test.each(CASES)('$rows rows of $n from $gate and $up, bias $bias', async ({ rows, ...sizes }) => {
    const shape = { ...sizes, activation }
    const { n, bias } = shape
    const total = rows + SPARE_ROWS
    const gate = randomFloats(n, total * shape.gate.stride + shape.gate.offset, 20)
    const up = randomFloats(n + 1, total * shape.up.stride + shape.up.offset, 4)
    const [gateBias, upBias] = [randomFloats(n + 2, n, 2), randomFloats(n + 3, n, 2)]
    const { y } = await runKernel({
      variant: activate,
      shape,
      gridRows: total,
      pass: { rows },
      buffers: { gate, up, gateBias: bias ? gateBias : n, upBias: bias ? upBias : n, y: total * n },
    })
    const expected = Array.from({ length: rows * n }, (_, index) => {
      const [row, column] = [Math.floor(index / n), index % n]
      const g = at(gate, row * shape.gate.stride + shape.gate.offset + column) + (bias ? at(gateBias, column) : 0)
      const u = at(up, row * shape.up.stride + shape.up.offset + column) + (bias ? at(upBias, column) : 0)
      return activated(activation, g) * u
    })
    expectAllClose(y?.f32.subarray(0, rows * n) ?? [], expected)
    expectPoison(y, rows * n)
  })

  test('products side by side, and with their biases added here or there, give the bits of gateUp', async () => {
    const [rows, k, n] = [3, 20, 12]
    const [gate, up] = [randomWeight(BF16, 1, n, k), randomWeight(BF16, 2, n, k)]
    const x = randomFloats(3, rows * k, 30)
    const bias = randomFloats(4, 2 * n, 2)
    const product = async ({ codes, scales }: RandomWeight, added?: Float32Array) => {
      const columns = { n, firstColumn: 0, outStride: n, outOffset: 0, bias: added !== undefined, biasOffset: 0 }
      const { y } = await runKernel({
        variant: linear,
        shape: { k, format: BF16, residual: false, scale: 1, softcap: 0, gather: false, ...columns },
        pass: { rows },
        buffers: { rowIndex: rows, weight: codes, scales, bias: added ?? n, x, y: rows * n },
      })
      return y?.f32 ?? new Float32Array()
    }
    const fused = await runKernel({
      variant: gateUp,
      shape: { k, n, format: BF16, activation },
      pass: { rows },
      buffers: {
        gate: gate.codes,
        gateScales: gate.scales,
        up: up.codes,
        upScales: up.scales,
        x,
        y: rows * n,
      },
    })
    const run = async (shape: Omit<ActivateShape, 'n' | 'activation'>, gates: Float32Array, ups: Float32Array) => {
      const { y } = await runKernel({
        variant: activate,
        shape: { n, activation, ...shape },
        pass: { rows },
        buffers: { gate: gates, up: ups, gateBias: bias.subarray(0, n), upBias: bias.subarray(n), y: rows * n },
      })
      return y?.u32
    }
    const apart = { gate: { stride: n, offset: 0 }, up: { stride: n, offset: 0 }, bias: false }
    const [gates, ups] = [await product(gate), await product(up)]
    expectSameBits(await run(apart, gates, ups), fused.y?.u32, 'apart')

    const beside = { gate: { stride: 2 * n, offset: 0 }, up: { stride: 2 * n, offset: n }, bias: false }
    const joined = new Float32Array(rows * 2 * n)
    for (let row = 0; row < rows; row++) {
      joined.set(gates.subarray(row * n, (row + 1) * n), row * 2 * n)
      joined.set(ups.subarray(row * n, (row + 1) * n), row * 2 * n + n)
    }
    expectSameBits(await run(beside, joined, joined), fused.y?.u32, 'side by side')

    const gatesBiased = await product(gate, bias.subarray(0, n))
    const upsBiased = await product(up, bias.subarray(n))
    const here = await run({ ...apart, bias: true }, gates, ups)
    expectSameBits(here, await run(apart, gatesBiased, upsBiased), 'biases')
  })
})
