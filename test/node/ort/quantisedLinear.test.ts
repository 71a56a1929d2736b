/** Quantised products, each in a session of its own: rows of every kind, several matrices, biases, some rows of a matrix. */

import { beforeAll, describe, expect, it } from 'vitest'
import type { WeightTensor } from '../../../src/models/weightNames.ts'
import { GraphBuilder } from '../../../src/ort/graphBuilder.ts'
import type { Ort } from '../../../src/ort/runtime.ts'
import type { RowSession } from '../../../src/ort/session.ts'
import { SessionLoader } from '../../../src/ort/sessionLoader.ts'
import { at } from '../../../src/util/math.ts'
import { sliceRows } from '../../../src/weights/rowSlices.ts'
import { quantisedMatVec } from '../../helpers/denseReference.ts'
import { seededRandom } from '../../helpers/kernelHarness.ts'
import { nodeOrt } from '../../helpers/ort.ts'
import { plainRows } from '../../helpers/weights.ts'

let ort: Ort

beforeAll(async () => {
  ort = await nodeOrt()
})

const random = seededRandom(11)
const values = (size: number) => Float32Array.from({ length: size }, () => 4 * random() - 2)

const tensor = (name: string, shape: readonly number[]): WeightTensor => ({
  part: 'model',
  layer: undefined,
  role: 'embed',
  name,
  shape,
})

interface Product {
  readonly width: number
  readonly matrices: readonly Float32Array[] // each [n][width]
  readonly biases?: readonly Float32Array[]
  readonly rows?: readonly number[]
}

/** x → y, by the real loader, from f32 matrices in two halves each. */
async function sessionOf({ width, matrices, biases = [], rows }: Product): Promise<RowSession> {
  const graph = new GraphBuilder(1e-5, 'w8a8')
  const matrixTensors = matrices.map((matrix, i) => tensor(`matrix ${i}`, [matrix.length / width, width]))
  const biasTensors = biases.map((bias, i) => tensor(`bias ${i}`, [bias.length]))
  const x = graph.input('x', width)
  graph.output(graph.linear(x, matrixTensors, { biases: biasTensors, ...(rows && { rows }), as: 'y' }))
  const loader = new SessionLoader(new Map([['head', graph.build()]]), ort.createSession)
  for (const [index, { name }] of matrixTensors.entries()) {
    const rows = plainRows(at(matrices, index), at(matrices, index).length / width, width)
    const half = rows.count >> 1
    if (half > 0) await loader.add(name, 0, sliceRows(rows, 0, half), () => {})
    await loader.add(name, half, sliceRows(rows, half, rows.count - half), () => {})
  }
  for (const [index, { name }] of biasTensors.entries()) {
    await loader.add(name, 0, plainRows(at(biases, index), 1, at(biases, index).length), () => {})
  }
  const session = loader.sessions.get('head')
  if (!session) throw new Error('no session')
  return session
}

function expectedOf({ width, matrices, biases = [], rows }: Product, x: readonly number[]): number[] {
  const bias = biases.flatMap((part) => [...part])
  const all = matrices.flatMap((matrix) => quantisedMatVec(matrix, x))
  const y = all.map((value, i) => value + (bias[i] ?? 0))
  expect(x).toHaveLength(width)
  return rows ? rows.map((row) => y[row] ?? Number.NaN) : y
}

async function check(product: Product, inputs: readonly (readonly number[])[]): Promise<void> {
  const session = await sessionOf(product)
  const { y } = await session.run({ x: Float32Array.from(inputs.flat()) }, inputs.length)
  await session.release()
  const expected = inputs.map((x) => expectedOf(product, x))
  expect(y).toHaveLength(expected.flat().length)
  const columns = expected[0]?.length ?? 0
  for (const [row, values] of expected.entries()) {
    const largest = Math.max(...values.map(Math.abs))
    for (const [n, value] of values.entries()) {
      expect(Math.abs((y?.[row * columns + n] ?? Number.NaN) - value)).toBeLessThanOrEqual(1e-6 * largest)
    }
  }
}

const rowsOf = (count: number, width: number) => Array.from({ length: count }, () => [...values(width)])

describe('a quantised product', () => {
  it.each([
    [1, 1],
    [3, 1],
    [3, 5],
    [67, 301],
    [130, 64],
  ])('of %i outputs and %i inputs is the definition, in float64', async (n, k) => {
    for (const rows of [1, 2, 9]) await check({ width: k, matrices: [values(n * k)] }, rowsOf(rows, k))
  })

  it('of several matrices has their outputs one after the other, and biases', async () => {
    const matrices = [values(70 * 21), values(5 * 21), values(64 * 21)]
    const biases = [values(70), values(5), values(64)]
    await check({ width: 21, matrices }, rowsOf(4, 21))
    await check({ width: 21, matrices, biases }, rowsOf(4, 21))
  })

  it('of some rows of a matrix has these alone', async () => {
    const rows = Array.from({ length: 66 }, (_, index) => 2 * index + (index % 2))
    await check({ width: 19, matrices: [values(140 * 19)], rows }, rowsOf(3, 19))
  })

  it('does not saturate where all products are the largest', async () => {
    const ones = (sign: number, size: number) => new Float32Array(size).fill(sign)
    const matrices = [ones(1, 1030), ones(-1, 1030)]
    await check({ width: 1030, matrices }, [[...ones(2, 1030)], [...ones(-3, 1030)]])
  })

  it('of zeros is zero, and of tiny and huge rows as exact as of others', async () => {
    const matrix = values(6 * 33)
    matrix.fill(0, 33, 66)
    const product = { width: 33, matrices: [matrix] }
    await check(product, [new Array<number>(33).fill(0)])
    for (const size of [1e-25, 1e30]) {
      await check(
        product,
        rowsOf(3, 33).map((row) => row.map((value) => Math.fround(value * size))),
      )
    }
  })

  it('of a row with a value that is not finite has none that is, and leaves the rows beside it as they are', async () => {
    const width = 40
    const session = await sessionOf({ width, matrices: [values(9 * width)] })
    const x = values(3 * width)
    const clean = (await session.run({ x }, 3)).y ?? new Float32Array()
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (let column = 0; column < width; column++) {
        const dirty = x.slice()
        dirty[width + column] = bad
        const y = (await session.run({ x: dirty }, 3)).y ?? new Float32Array()
        expect([...y.subarray(9, 18)].filter(Number.isFinite)).toEqual([])
        expect([...y.subarray(0, 9), ...y.subarray(18)]).toEqual([...clean.subarray(0, 9), ...clean.subarray(18)])
      }
    }
    await session.release()
  })

  it('with a weight that is not finite has no finite output of that row of W, and the others as they are', async () => {
    const width = 12
    const matrix = values(3 * width)
    const x = values(2 * width)
    const outputs = async (bad?: number) => {
      const weights = matrix.slice()
      if (bad !== undefined) weights[width + 5] = bad
      const session = await sessionOf({ width, matrices: [weights] })
      const { y } = await session.run({ x }, 2)
      await session.release()
      return [...(y ?? [])]
    }
    const clean = await outputs()
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const dirty = await outputs(bad)
      expect([dirty[1], dirty[4]].filter(Number.isFinite)).toEqual([])
      expect([0, 2, 3, 5].map((i) => dirty[i])).toEqual([0, 2, 3, 5].map((i) => clean[i]))
    }
  })
})
