/** The parts of loading a runner that need no GPU: the choice of kernels on coarse clocks, and what a source may get wrong. */

import { describe, expect, it } from 'vitest'
import type { ModelWeights } from '../../src/backend/backend.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import { chooseKernels } from '../../src/runner/chooseKernels.ts'
import { createGpuRunner } from '../../src/runner/createGpuRunner.ts'
import { SERIAL_KERNELS, WORKGROUP_KERNELS } from '../../src/runner/kernelSet.ts'
import type { Dispatch, Op } from '../../src/runner/program.ts'
import type { TuningBench } from '../../src/runner/tuningBench.ts'
import { weightLayout } from '../../src/runner/weightLayout.ts'
import { sliceRows } from '../../src/weights/rowSlices.ts'
import { errorOf } from '../helpers/connect.ts'
import { engineOptions } from '../helpers/coreFixtures.ts'
import { FakeGpu } from '../helpers/fakeGpu.ts'
import { openTestModel } from '../helpers/openTestModel.ts'

/** A bench on which a dispatch takes some microseconds and a submit 300, with a clock that shows whole milliseconds. */
async function coarseBench(microseconds: { readonly serial: number; readonly workgroup: number }) {
  let runs = 0
  let spent = 0
  const { spec, weights } = await openTestModel('qwen3-mtp')
  const geometry = { rows: 64, seqs: 4, sampled: 4, drafts: 0, maxBlocks: 8, totalBlocks: 8 }
  const layout = weightLayout(spec, weights.tensors, { withDrafter: false })
  const model = { spec, geometry, kvDtype: 'f16', buffer: () => ({}), layout }
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
    const { bench, runs, spent } = await coarseBench(microseconds)
    expect(await chooseKernels(bench)).toBe(faster)
    expect(runs()).toBe(2)
    expect(spent()).toBeLessThan(500)
  })
})

/** Loads qwen3-mtp with its weights read so. */
async function load(read: (weights: ModelWeights) => ModelWeights['read']): Promise<unknown> {
  const { spec, weights } = await openTestModel('qwen3-mtp')
  return createGpuRunner({
    gpu: await new FakeGpu({ timestamps: false }).open(),
    spec,
    options: engineOptions({}),
    weights: { tensors: weights.tensors, read: read(weights) },
    now: () => 0,
    kernels: SERIAL_KERNELS,
  })
}

describe('a source that leaves out', () => {
  it.each([
    ['the last tile of a matrix', 'model.layers.1.mlp.down_proj.weight', 32],
    ['what follows a row in the middle of a tile', 'lm_head.weight', 41],
    ['a matrix of the drafter', 'mtp.fc.weight', 0],
    ['a norm', 'model.norm.weight', 0],
  ])('%s is noticed', async (_, name, firstRow) => {
    const read =
      (weights: ModelWeights): ModelWeights['read'] =>
      (tensors, sink, options) =>
        weights.read(
          tensors,
          (tensor, first, rows) => {
            const end = first + rows.count
            if (tensor.name !== name || firstRow >= end) return sink(tensor, first, rows)
            if (first < firstRow) return sink(tensor, first, sliceRows(rows, 0, firstRow - first))
          },
          options,
        )
    await expect(load(read)).rejects.toThrow(/every row of a tensor was delivered/)
  })
})

describe('memory of the host', () => {
  it('that has no room for a tensor is OUT_OF_MEMORY; what the source says of itself passes', async () => {
    const codeOf = async (thrown: Error) => (await errorOf(load(() => () => Promise.reject(thrown)))).code
    expect(await codeOf(new RangeError('Array buffer allocation failed'))).toBe('OUT_OF_MEMORY')
    expect(await codeOf(new WeirError('MODEL_FETCH', 'gone'))).toBe('MODEL_FETCH')
  })
})
