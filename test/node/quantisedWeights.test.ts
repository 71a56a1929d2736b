/** Weights quantised while they are loaded: which matrices are, to what, and that the rows are those of the rule. */

import { describe, expect, it } from 'vitest'
import { quantisedWeights } from '../../src/loader/quantisedWeights.ts'
import type { WeightRole } from '../../src/models/weightNames.ts'
import { dequantiseRows } from '../../src/weights/dequantise.ts'
import { formatName, type WeightRows } from '../../src/weights/format.ts'
import { quantiseRows } from '../../src/weights/quantise.ts'
import { seededRandom } from '../helpers/kernelHarness.ts'
import { type MemoryTensor, weightsOf } from '../helpers/memoryWeights.ts'
import { readValues } from '../helpers/readWeights.ts'

const INT8 = 'u8 g32 half 128'
const INT4 = 'u4 g32 half 8'

function tensor(role: WeightRole, ...shape: readonly number[]): MemoryTensor {
  const random = seededRandom(role.length + shape.length)
  const length = shape.reduce((product, size) => product * size, 1)
  return { role, shape, values: Float32Array.from({ length }, () => 4 * random() - 2) }
}

const plain = (shape: readonly number[], values: MemoryTensor['values']): WeightRows => ({
  format: { codes: 'f32' },
  inputs: shape[1] ?? 0,
  count: shape[0] ?? 0,
  codes: new Uint8Array(Float32Array.from(values as Float32Array).buffer),
  scales: new Uint32Array(0),
})

const EMBED = tensor('embed', 70, 64)
const HEAD = tensor('lmHead', 70, 64)
const Q = tensor('q', 65, 64)
/** No whole number of groups. */
const ODD = tensor('down', 33, 40)
const NORM = tensor('inputNorm', 64)
const BIAS = tensor('qBias', 65)

describe.each([
  ['int8', INT8],
  ['int4', INT4],
] as const)('%s', (to, usual) => {
  it('quantises matrices; norms, biases and rows of no whole groups stay, the head has 8 bits', () => {
    const formats = (tensors: readonly MemoryTensor[]) =>
      quantisedWeights(weightsOf(tensors), to).tensors.map(({ role, format }) => [role, formatName(format)])
    const others = [
      ['q', usual],
      ['down', 'f32'],
      ['inputNorm', 'f32'],
      ['qBias', 'f32'],
    ]
    expect(formats([EMBED, Q, ODD, NORM, BIAS, HEAD])).toEqual([['embed', usual], ...others, ['lmHead', INT8]])
    expect(formats([EMBED, Q, ODD, NORM, BIAS])).toEqual([['embed', INT8], ...others])
  })

  it('leaves matrices as they are that are quantised already', () => {
    const rows = quantiseRows(plain(Q.shape, Q.values), to === 'int8' ? 'int4' : 'int8')
    const { tensors } = quantisedWeights(weightsOf([{ ...Q, values: rows }]), to)
    expect(tensors.map(({ format }) => format)).toEqual([rows.format])
  })

  it('passes on rows in the chunks that they come in, each of the values that the rule gives the whole', async () => {
    const given = [Q, ODD, NORM, BIAS, HEAD]
    const weights = quantisedWeights(weightsOf(given), to)
    const asked = [...weights.tensors].reverse()
    const values = await readValues(weights, asked)
    for (const { role, shape, values: stored } of given) {
      const found = values.get(`model.${role}`)
      const quantised = role === 'q' || role === 'lmHead'
      const expected = Float32Array.from(stored as Float32Array)
      if (quantised) dequantiseRows(quantiseRows(plain(shape, stored), role === 'lmHead' ? 'int8' : to), expected)
      expect(found, role).toEqual(expected)
      const largest = Math.max(...expected.map((value, i) => Math.abs(value - Number((stored as Float32Array)[i]))))
      if (quantised) expect(largest).toBeGreaterThan(0)
    }
  })
})
