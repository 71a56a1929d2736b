/** Every quantised matrix of the fixtures, against digests of an independent implementation. */

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { decodeRows } from '../../../src/weights/decodeRows.ts'
import { dequantiseRows } from '../../../src/weights/dequantise.ts'
import { type Encoding, encodingBytes, isRowWise, matrixBytes } from '../../../src/weights/encoding.ts'
import { GGUF_FIXTURES } from '../../helpers/folderFetch.ts'
import { readBytes, readJson, readSafetensors } from '../../helpers/modelFiles.ts'
import { type GgufTensor, readGguf } from '../../helpers/plainGguf.ts'
import { fileWeight } from '../../helpers/weightReference.ts'

const FIXTURES = new URL('../../fixtures/', import.meta.url)

/** name, shape, digest, first values, type in GGUF */
type Digest = readonly [string, readonly [number, number], string, readonly number[], string?]

interface Matrix {
  readonly encoding: Encoding
  readonly data: readonly Uint8Array[]
}

/** What finds a matrix of a fixture by its name in the golden file. */
type Find = (name: string, shape: readonly [number, number]) => Matrix

/** A matrix in chunks of rows where that is possible, so that no chunk is aligned by chance. */
function dequantised({ encoding, data }: Matrix, rows: number, inputs: number): Float32Array {
  expect(data.map(({ byteLength }) => byteLength)).toEqual(matrixBytes(encoding, rows, inputs))
  const out = new Float32Array(rows * inputs).fill(Number.NaN)
  if (!isRowWise(encoding)) {
    dequantiseRows(decodeRows(encoding, data, rows, inputs), out)
    return out
  }
  const sizes = encodingBytes(encoding, inputs)
  for (let row = 0; row < rows; row += 7) {
    const count = Math.min(7, rows - row)
    const some = data.map((bytes, i) => bytes.subarray(row * (sizes[i] ?? 0), (row + count) * (sizes[i] ?? 0)))
    dequantiseRows(decodeRows(encoding, some, count, inputs), out, row * inputs)
  }
  return out
}

function expectDigests(fixture: string, find: Find): void {
  const list = readJson(new URL(`${fixture}/`, FIXTURES), 'golden.json').dequant as readonly Digest[]
  expect(list.length).toBeGreaterThan(10)
  for (const [name, shape, digest, first] of list) {
    const matrix = find(name, shape)
    const weights = dequantised(matrix, ...shape)
    expect(weights.findIndex((weight) => Object.is(weight, -0) && matrix.encoding.kind !== 'plain')).toBe(-1)
    expect([...weights.subarray(0, 4)].map(unsigned), name).toEqual(first.map(unsigned))
    signZeros(weights, matrix, shape)
    expect(createHash('sha256').update(new Uint8Array(weights.buffer)).digest('hex'), name).toBe(digest)
  }
}

/** 0 for -0, which not every JSON keeps. */
function unsigned(value: number): number {
  return value + 0
}

/** fma(code, s, m) is +0 where the digests have the -0 of d · (n - 8) with a negative d: zeros get the sign of that. */
function signZeros(weights: Float32Array, { encoding, data }: Matrix, shape: readonly [number, number]): void {
  for (const [index, weight] of weights.entries()) {
    if (weight !== 0) continue
    const inFile = fileWeight(encoding, data, shape, Math.floor(index / shape[1]), index % shape[1])
    if (inFile === 0) weights[index] = inFile
  }
}

const GGML: Readonly<Record<number, Encoding>> = {
  1: { kind: 'plain', dtype: 'f16' },
  2: { kind: 'ggml', type: 'q4_0' },
  3: { kind: 'ggml', type: 'q4_1' },
  6: { kind: 'ggml', type: 'q5_0' },
  7: { kind: 'ggml', type: 'q5_1' },
  8: { kind: 'ggml', type: 'q8_0' },
  12: { kind: 'ggml', type: 'q4_k' },
  13: { kind: 'ggml', type: 'q5_k' },
  14: { kind: 'ggml', type: 'q6_k' },
  30: { kind: 'plain', dtype: 'bf16' },
}

describe('the weights are those of an independent implementation in', () => {
  it.each(GGUF_FIXTURES)('%s', (fixture) => {
    const tensors = readGguf(readBytes(new URL(`${fixture}/`, FIXTURES), 'model.gguf'))
    expectDigests(fixture, (name, shape) => {
      const { type, data, shape: stored } = tensors.get(name) as GgufTensor
      expect(stored).toEqual(shape)
      const encoding = GGML[type] as Encoding
      return { encoding, data: [data.subarray(0, matrixBytes(encoding, ...shape)[0])] }
    })
  })

  it.each(['gemma3-mlx-4bit', 'qwen2-mlx-mixed', 'qwen3-mlx-4bit', 'qwen3-mlx-8bit'])('%s', (fixture) => {
    const read = tensorsOf(fixture)
    const seen = new Set<string>()
    expectDigests(fixture, (name, [rows, inputs]) => {
      const [codes, scales, offsets] = ['weight', 'scales', 'biases'].map((part) => read(`${name}.${part}`))
      if (!codes || !scales || !offsets) throw new Error(`${name} is not whole`)
      const bits = ((8 * codes.data.length) / (rows * inputs)) as 4 | 8
      const group = ((2 * rows * inputs) / scales.data.length) as 32 | 64 | 128
      const halves = scales.dtype === 'F16' ? 'f16' : 'bf16'
      seen.add(`${bits} ${group} ${halves}`)
      const data = [codes.data, scales.data, offsets.data]
      return { encoding: { kind: 'mlx', bits, group, halves }, data }
    })
    if (fixture === 'qwen2-mlx-mixed')
      expect([...seen].sort()).toEqual(['4 32 f16', '4 64 f16', '8 32 f16', '8 64 f16'])
  })

  it.each([
    ['llama-gptq-g128', { kind: 'gptq', group: 128, zeros: 'less one' }],
    ['qwen2-gptq-asym', { kind: 'gptq', group: 64, zeros: 'less one' }],
    ['llama-awq-g128', { kind: 'awq', group: 128 }],
  ] as const)('%s', (fixture, encoding) => {
    const read = tensorsOf(fixture)
    expectDigests(fixture, (name) => ({
      encoding,
      data: ['qweight', 'qzeros', 'scales'].map((part) => read(`${name}.${part}`).data),
    }))
  })
})

/** What reads a tensor of a safetensors fixture. */
function tensorsOf(fixture: string): (name: string) => { dtype: string; data: Uint8Array } {
  const { header, data } = readSafetensors(readBytes(new URL(`${fixture}/`, FIXTURES), 'model.safetensors'))
  return (name) => {
    const { dtype = '', data_offsets = [] } = header[name] ?? {}
    return { dtype, data: data.subarray(...(data_offsets as [number, number])) }
  }
}
