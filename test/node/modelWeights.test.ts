/** The weights of a model through its files: every fixture's values in every format, whatever order they are read in. */

import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { ModelTensor, ModelWeights } from '../../src/backend/backend.ts'
import { modelWeights } from '../../src/loader/modelWeights.ts'
import { type ModelFiles, openModel } from '../../src/loader/source.ts'
import type { BoundTensor } from '../../src/models/bindTensors.ts'
import { parseModelSpec } from '../../src/models/readConfig.ts'
import { decodeWeights, type WeightDtype } from '../../src/weights/decode.ts'
import { unpaired } from '../../src/weights/rowSlices.ts'
import { openWeights } from '../../src/worker/openWeights.ts'
import { seededRandom } from '../helpers/kernelHarness.ts'
import { memoryCheckpoint, memoryFile } from '../helpers/memoryFiles.ts'
import { modelAnswers, readBytes, readJson, readSafetensors, serveModel, thrownBy } from '../helpers/modelFiles.ts'
import { readValues } from '../helpers/readWeights.ts'
import { fileWeight } from '../helpers/weightReference.ts'

const FIXTURES = new URL('../fixtures/', import.meta.url)
const folderOf = (name: string): URL => new URL(`${name}/`, FIXTURES)
/** Not of this engine yet. */
const UNSUPPORTED = ['lfm2', 'qwen3_5']
const names = readdirSync(FIXTURES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !UNSUPPORTED.includes(entry.name))
  .map(({ name }) => name)
const isGguf = (name: string): boolean => readdirSync(folderOf(name)).includes('model.gguf')
const isQuantised = (name: string): boolean => /mlx|gptq|awq/.test(name)

interface Opened {
  readonly files: ModelFiles
  readonly weights: ModelWeights
  readonly tensors: readonly BoundTensor[]
  /** of the weights, after the header */
  readonly requests: () => number
}

async function open(name: string): Promise<Opened> {
  const file = isGguf(name) ? 'model.gguf' : 'model.safetensors'
  const { model, requests } = await serveModel(
    modelAnswers(folderOf(name), isGguf(name) ? [file] : ['config.json', file]),
  )
  const files = await openModel(isGguf(name) ? `${model}/${file}` : model)
  const weights = openWeights(files, parseModelSpec(files.config, files.generationConfig), 'none')
  const opened = requests.length
  return {
    files,
    weights,
    tensors: weights.tensors as readonly BoundTensor[],
    requests: () => requests.length - opened,
  }
}

const sha = (values: Float32Array): string => createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')

describe.each(names.filter((name) => isGguf(name) || isQuantised(name)))('%s', (name) => {
  it('has the values of an independent implementation in every tensor, read in one request', async () => {
    const { files: opened, weights, tensors, requests } = await open(name)
    const values = await readValues(weights)
    expect(requests()).toBe(1)
    const golden = readJson(folderOf(name), 'golden.json') as {
      readonly dequant: readonly (readonly [string, number[], string])[]
    }
    const digests = new Map(golden.dequant.map(([tensor, , digest]) => [tensor, digest]))
    let compared = 0
    for (const { name: key, files, shape, encoding, pairedRows } of tensors) {
      const [file = ''] = files
      const expected = digests.get(file) ?? digests.get(file.replace(/\.q?weight$/, ''))
      if (expected === undefined) continue
      const found = values.get(key) ?? new Float32Array(0)
      const inFile = pairedRows ? asInFile(found, shape, pairedRows) : found
      if (encoding.kind === 'ggml') {
        const { offset = 0, bytes = 0 } = opened.checkpoint.tensors.get(file) ?? {}
        const data = readBytes(folderOf(name), 'model.gguf').subarray(offset, offset + bytes)
        const [rows = 0, inputs = 0] = shape
        // fma(code, s, m) is +0 where the digests have the -0 of d · (n - 8).
        for (const [i, value] of inFile.entries()) {
          if (value === 0) inFile[i] = fileWeight(encoding, [data], [rows, inputs], Math.floor(i / inputs), i % inputs)
        }
      }
      expect(sha(inFile), key).toBe(expected)
      compared++
    }
    expect(compared).toBe(digests.size)
  })
})

/** Rows in pairs, as the file has them. */
function asInFile(values: Float32Array, shape: readonly number[], headDim: number): Float32Array {
  const [rows = 0, inputs = 1] = shape
  const out = new Float32Array(values.length)
  for (let row = 0; row < rows; row++) {
    const from = unpaired(row, headDim) * inputs
    out.set(values.subarray(from, from + inputs), row * inputs)
  }
  return out
}

describe.each(names.filter((name) => !isGguf(name) && !isQuantised(name)))('%s', (name) => {
  it("has the file's values in every tensor, cut from fused matrices, and added to where norms are stored less 1", async () => {
    const { weights, tensors, requests } = await open(name)
    const values = await readValues(weights)
    expect(requests()).toBe(1)
    const { header, data } = readSafetensors(readBytes(folderOf(name), 'model.safetensors'))
    for (const { name: key, files, shape, firstRow, add } of tensors) {
      const { dtype, data_offsets } = header[files[0] ?? ''] ?? { dtype: '', data_offsets: [] }
      const bytes = data.slice(...data_offsets)
      const type = dtype.toLowerCase() as WeightDtype
      const whole = new Float32Array(bytes.length / (type === 'f32' ? 4 : 2))
      decodeWeights(bytes, type, whole)
      const count = shape.reduce((product, size) => product * size, 1)
      const first = firstRow * (shape[1] ?? 0)
      const expected = whole.slice(first, first + count).map((value) => value + add)
      expect(sha(values.get(key) ?? new Float32Array(0)), key).toBe(sha(expected))
    }
  })
})

it.each(['qwen2-mlx-mixed', 'llama-gptq-g128', 'llama-awq-g128', 'llama-gguf-q4_k_m', 'phi3', 'gemma3'])(
  '%s: tensors read alone, and in any order, are the same, and what is not asked for is not fetched',
  async (name) => {
    const { weights } = await open(name)
    const all = await readValues(weights)
    const random = seededRandom(7)
    const shuffled = [...weights.tensors].map((tensor) => [random(), tensor] as const).sort(([a], [b]) => a - b)
    const some = shuffled.map(([, tensor]) => tensor).slice(0, 12)
    const total: number[] = []
    const values = await readValues(weights, some, { onProgress: ({ loaded }) => total.push(loaded) })
    for (const [key, found] of values) expect(sha(found), key).toBe(sha(all.get(key) ?? new Float32Array(0)))
    expect(values.size).toBe(12)
    expect(total.at(-1)).toBeLessThan([...all.values()].reduce((sum, { byteLength }) => sum + byteLength, 0))
  },
)

describe('rows', () => {
  /** A matrix of the files, of bf16 values, with the tensors that are its rows. */
  function bf16Stack(
    rows: readonly number[],
    inputs: number,
    pairedRows?: number,
  ): { weights: ModelWeights; tensors: BoundTensor[]; stored: Uint16Array } {
    const fileRows = rows.reduce((sum, count) => sum + count, 0)
    const file = memoryFile('stack', 64, { stack: fileRows * inputs * 2 })
    let firstRow = 0
    const tensors = rows.map((count, layer): BoundTensor => {
      const tensor = {
        role: 'q',
        part: 'model',
        layer,
        name: `q${layer}`,
        shape: [count, inputs],
        files: ['stack'],
        encoding: { kind: 'plain', dtype: 'bf16' },
        format: { codes: 'bf16' },
        firstRow,
        fileRows,
        pairedRows,
        add: 0,
      } as const
      firstRow += count
      return tensor
    })
    const stored = new Uint16Array(file.bytes.slice(64).buffer)
    return { weights: modelWeights(tensors, memoryCheckpoint([file]).checkpoint), tensors, stored }
  }

  /** The codes of each tensor, as they come. */
  async function readCodes(weights: ModelWeights, tensors: readonly ModelTensor[]): Promise<Map<string, Uint16Array>> {
    const codes = new Map<string, number[]>(tensors.map(({ name }) => [name, []]))
    const counts: number[] = []
    await weights.read(tensors, ({ name }, _, rows) => {
      counts.push(rows.count)
      for (const code of new Uint16Array(rows.codes.slice().buffer)) codes.get(name)?.push(code)
    })
    expect(counts.length).toBeGreaterThan(tensors.length)
    return new Map([...codes].map(([name, values]) => [name, Uint16Array.from(values)]))
  }

  it('of matrices stored upon one another come apart at borders that no chunk knows', async () => {
    const inputs = 1000
    const { weights, tensors, stored } = bf16Stack([2500, 37, 33], inputs)
    await readValues(weights)
    const codes = await readCodes(weights, tensors)
    for (const { name, firstRow, shape } of tensors) {
      const expected = stored.slice(firstRow * inputs, (firstRow + (shape[0] ?? 0)) * inputs)
      const found = codes.get(name) ?? new Uint16Array(0)
      expect(Buffer.compare(new Uint8Array(found.buffer), new Uint8Array(expected.buffer)), name).toBe(0)
    }
    const [, second, third] = tensors
    if (!second || !third) throw new Error('three tensors')
    for (const order of [[third, second], [third], [second, third]])
      expect((await readValues(weights, order)).size).toBe(order.length)
  })

  it.each([64, 80, 8])(
    'that stand in pairs in heads of %i are put back, in chunks of whole heads',
    async (headSize) => {
      const inputs = 808
      const rows = 40 * 80
      const { weights, tensors, stored } = bf16Stack([rows], inputs, headSize)
      await readValues(weights)
      const codes = (await readCodes(weights, tensors)).get('q0') ?? new Uint16Array(0)
      for (let row = 0; row < rows; row++) {
        const inHead = row % headSize
        const [i, j] = [Math.floor(inHead / 2), inHead % 2]
        const to = row - inHead + i + (j * headSize) / 2
        const [found, expected] = [
          codes.subarray(to * inputs, to * inputs + inputs),
          stored.subarray(row * inputs, row * inputs + inputs),
        ]
        if (found.some((code, k) => code !== expected[k])) throw new Error(`row ${row} of the file is not row ${to}`)
      }
    },
  )

  it('that a sink fails to take end the read with its own error', async () => {
    const { weights, tensors } = bf16Stack([2500], 1000)
    const fail = async (): Promise<void> => {
      throw new Error('no room for it')
    }
    await expect(weights.read(tensors, fail)).rejects.toThrow('no room for it')
  })

  it('come no more after an abort', async () => {
    const { weights, tensors } = bf16Stack([5000], 1000)
    const controller = new AbortController()
    let chunks = 0
    const take = (): void => {
      chunks++
      controller.abort()
    }
    const { code } = await thrownBy(() => weights.read(tensors, take, { signal: controller.signal }))
    expect([code, chunks]).toEqual(['ABORTED', 1])
  })
})
