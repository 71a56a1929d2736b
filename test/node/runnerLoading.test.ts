/** The parts of loading a runner that need no GPU: the choice of kernels on coarse clocks, and the count of tensors. */

import { describe, expect, it } from 'vitest'
import { WeirError } from '../../src/protocol/errors.ts'
import { chooseKernels } from '../../src/runner/chooseKernels.ts'
import { createGpuRunner } from '../../src/runner/createGpuRunner.ts'
import { SERIAL_KERNELS, WORKGROUP_KERNELS } from '../../src/runner/kernelSet.ts'
import { WeightUploader } from '../../src/runner/loadWeights.ts'
import type { Dispatch, Op } from '../../src/runner/program.ts'
import type { TuningBench } from '../../src/runner/tuningBench.ts'
import type { WeightPart } from '../../src/runner/weightLayout.ts'
import { errorOf } from '../helpers/connect.ts'
import { engineOptions } from '../helpers/coreFixtures.ts'
import { FakeGpu } from '../helpers/fakeGpu.ts'
import { openTestModel } from '../helpers/openTestModel.ts'

/** A bench on which a dispatch takes some microseconds and a submit 300, with a clock that shows whole milliseconds. */
function coarseBench(microseconds: { readonly serial: number; readonly workgroup: number }) {
  let runs = 0
  let spent = 0
  const spec = { numHeads: 4, numKvHeads: 2, headDim: 32, hiddenSize: 64, intermediateSize: 128, vocabSize: 512 }
  const geometry = { rows: 64, seqs: 4, sampled: 4, drafts: 0, maxBlocks: 8, totalBlocks: 8 }
  const model = {
    spec: { ...spec, rmsNormEps: 1e-6, ropes: [], layers: [{}], activation: 'silu', tiedEmbeddings: true },
    geometry,
    kvDtype: 'f16',
    buffer: () => ({}),
    dtype: () => 'bf16',
  }
  const bench = {
    model,
    upload: { write: () => ({ rows: 8 }) },
    plan: () => ({}),
    build: async (ops: readonly Op[], labels: readonly string[]) => {
      // A workgroup norm takes 4 rows in a workgroup, a serial one 16.
      const norm = ops.find(({ label }) => label === 'layer0.inputNorm')
      const kind = norm?.grid({ rows: 16 } as never)?.[0] === 1 ? 'serial' : 'workgroup'
      return labels.map((label) => ({ label: `${label} ${kind}` }) as unknown as Dispatch)
    },
    run: async () => {
      runs++
    },
    time: async (program: readonly Dispatch[]) => {
      const start = spent
      const each = program[0]?.label.endsWith('serial') ? microseconds.serial : microseconds.workgroup
      spent += (300 + program.length * each) / 1000
      return Math.floor(spent) - Math.floor(start)
    },
  }
  return { bench: bench as unknown as TuningBench, runs: () => runs, spent: () => spent }
}

describe('the choice of kernels', () => {
  it.each([
    [{ serial: 12, workgroup: 4 }, WORKGROUP_KERNELS],
    [{ serial: 4, workgroup: 12 }, SERIAL_KERNELS],
    [{ serial: 400, workgroup: 30 }, WORKGROUP_KERNELS],
    [{ serial: 800, workgroup: 90_000 }, SERIAL_KERNELS],
  ])('%o is told apart by a clock of whole milliseconds, in less than half a second', async (microseconds, faster) => {
    const { bench, runs, spent } = coarseBench(microseconds)
    expect(await chooseKernels(bench)).toBe(faster)
    expect(runs()).toBe(2)
    expect(spent()).toBeLessThan(500)
  })
})

describe('the upload of weights', () => {
  it('is complete once every part of every buffer came', () => {
    const written: string[] = []
    const queue = { writeBuffer: (buffer: unknown) => written.push(String(buffer)) }
    const arena = { buffer: (name: string) => name }
    const matrix = { kind: 'matrix', buffer: 'qkv', dtype: 'f32', inputs: 4, columns: 3 } as const
    const parts = new Map<string, WeightPart>([
      ['norm', { kind: 'vector', buffer: 'norm', dtype: 'f32', size: 4, first: 0 }],
      ['q', { ...matrix, firstColumn: 0 }],
      ['k', { ...matrix, firstColumn: 2 }],
    ])
    const uploader = new WeightUploader(queue as never, arena as never, parts)
    expect(uploader.complete).toBe(false)
    uploader.add('q', new Uint8Array(32))
    uploader.add('k', new Uint8Array(16))
    expect(written).toEqual(['qkv'])
    expect(uploader.complete).toBe(false)
    uploader.add('other', new Uint8Array(4))
    uploader.add('norm', new Uint8Array(16))
    expect(uploader.complete).toBe(true)
    expect(written).toEqual(['qkv', 'norm'])
  })
})

describe('memory of the host', () => {
  it('that has no room for a tensor is OUT_OF_MEMORY; what the source says of itself passes', async () => {
    const { spec, weights } = await openTestModel('qwen3-mtp')
    const load = async (thrown: Error) =>
      errorOf(
        createGpuRunner({
          gpu: await new FakeGpu({ timestamps: false }).open(),
          spec,
          options: engineOptions({}),
          weights: {
            tensors: weights.tensors,
            totalBytes: files.weights.totalBytes,
            stream: () => Promise.reject(thrown),
          },
          now: () => 0,
          kernels: SERIAL_KERNELS,
        }),
      )
    expect((await load(new RangeError('Array buffer allocation failed'))).code).toBe('OUT_OF_MEMORY')
    expect((await load(new WeirError('MODEL_FETCH', 'gone'))).code).toBe('MODEL_FETCH')
  })
})
