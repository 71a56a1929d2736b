/**
 * Chooses between the two sets of kernels by a short measurement at load, and checks on this device that kernels which may serve the
 * same row round alike. On a software adapter barriers cost a hundred times what they do on a GPU, so no table of adapters
 * would do.
 */

import type { StepPlan } from '../core/stepPlan.ts'
import type { Gpu } from '../gpu/device.ts'
import { type ModelContext, targetOps } from './forward.ts'
import { type KernelSet, SERIAL_KERNELS, WORKGROUP_KERNELS } from './kernelSet.ts'
import { buildProgram, type Dispatch, encodeProgram, type Op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import type { StepUpload } from './stepUpload.ts'

/** The ops measured: where a barrier costs most, and where the time of a step goes. */
const MEASURED = ['layer0.inputNorm', 'layer0.qkv']

/** rows of the measured step: the small batches of decoding are where the variants differ most */
const ROWS = 8
const CONTEXT = 128
/** a run longer than this says enough alone */
const LONG_MS = 4
const REPEATS = 16

export interface TuningBench {
  readonly gpu: Gpu
  readonly model: Omit<ModelContext, 'kernels'>
  readonly now: () => number
  readonly upload: StepUpload
}

/** The set of kernels that is faster on this device. */
export async function chooseKernels(bench: TuningBench): Promise<KernelSet> {
  const counts = bench.upload.write(syntheticPlan(bench, ROWS, CONTEXT))
  const [serial, workgroup] = await Promise.all(
    [SERIAL_KERNELS, WORKGROUP_KERNELS].map((kernels) =>
      build(bench, targetOps({ ...bench.model, kernels }), MEASURED),
    ),
  )
  const serialTime = await measure(bench, serial ?? [], counts, Number.POSITIVE_INFINITY)
  const workgroupTime = await measure(bench, workgroup ?? [], counts, serialTime)
  return serialTime <= workgroupTime ? SERIAL_KERNELS : WORKGROUP_KERNELS
}

/**
 * Whether rows that leave attention partials to be merged get the bits of rows that fold their splits in sequence, on random
 * data on this device. Where they differ the runner uses only the second.
 */
export async function mergeIsExact(bench: TuningBench, kernels: KernelSet): Promise<boolean> {
  const { geometry, spec, kvDtype, buffer } = bench.model
  // The serial kernel folds every split itself and leaves no partials: a merge would read what nobody wrote.
  if (kernels.attention.name === 'serial') return false
  if (geometry.maxParts === 0) return true
  const rows = Math.min(geometry.drafts + 1, geometry.rows, 4)
  const context = geometry.maxBlocks * 16
  const attention = await build(bench, targetOps({ ...bench.model, kernels }), [
    'expandStep',
    'layer0.attention',
    'layer0.merge',
  ])
  const floats = rows * spec.numHeads * spec.headDim
  bench.gpu.device.queue.writeBuffer(buffer('q'), 0, noise(floats, 1))
  const cacheFloats = Math.min(buffer('kv.0').size / 4, 1 << 18)
  bench.gpu.device.queue.writeBuffer(
    buffer('kv.0'),
    0,
    kvDtype === 'f32' ? noise(cacheFloats, 2) : halfNoise(cacheFloats, 2),
  )
  const inSequence = await attend(bench, attention, syntheticPlan(bench, rows, context), floats)
  const merged = await attend(bench, attention, asDecode(syntheticPlan(bench, rows, context)), floats)
  return inSequence.every((word, index) => word === merged[index])
}

async function attend(bench: TuningBench, program: Dispatch[], plan: StepPlan, floats: number): Promise<Uint32Array> {
  const counts = bench.upload.write(plan)
  await run(bench, program, counts)
  const answer = bench.model.buffer('readback.0')
  const bytes = Math.min(floats * 4, answer.size)
  const encoder = bench.gpu.device.createCommandEncoder()
  encoder.copyBufferToBuffer(bench.model.buffer('attention'), 0, answer, 0, bytes)
  bench.gpu.device.queue.submit([encoder.finish()])
  await answer.mapAsync(1, 0, bytes)
  const words = new Uint32Array(answer.getMappedRange(0, bytes)).slice()
  answer.unmap()
  return words
}

function build(bench: TuningBench, ops: readonly Op[], labels: readonly string[]): Promise<Dispatch[]> {
  const wanted = ops.filter(({ label }) => labels.includes(label))
  return buildProgram(bench.gpu, wanted)
}

async function run({ gpu: { device } }: TuningBench, program: readonly Dispatch[], counts: StepCounts): Promise<void> {
  const encoder = device.createCommandEncoder()
  encodeProgram(encoder, program, counts)
  device.queue.submit([encoder.finish()])
  await device.queue.onSubmittedWorkDone()
}

/** Milliseconds per run; stops early once it is clearly worse than `best`. */
async function measure(
  bench: TuningBench,
  program: readonly Dispatch[],
  counts: StepCounts,
  best: number,
): Promise<number> {
  await run(bench, program, counts)
  const once = await timed(bench, program, counts)
  if (once > LONG_MS || once > 4 * best + LONG_MS) return once
  const repeated = Array.from({ length: REPEATS }, () => program).flat()
  const first = await timed(bench, repeated, counts)
  return Math.min(first, await timed(bench, repeated, counts)) / REPEATS
}

async function timed(bench: TuningBench, program: readonly Dispatch[], counts: StepCounts): Promise<number> {
  const start = bench.now()
  await run(bench, program, counts)
  return bench.now() - start
}

/** One request whose `rows` rows end at `context`, sampling with every cut in use. */
function syntheticPlan({ model }: TuningBench, rows: number, context: number): StepPlan {
  const { geometry } = model
  const n = Math.min(rows, geometry.rows)
  const firstPosition = Math.max(0, Math.min(context, geometry.maxBlocks * 16) - n)
  const blocks = Array.from({ length: geometry.maxBlocks }, (_, index) => index % geometry.totalBlocks)
  return {
    step: 0,
    rows: n,
    sampledRows: 1,
    requests: [
      {
        requestId: 0,
        tableRow: 0,
        generation: 0,
        n,
        k: 0,
        m: 0,
        samples: true,
        firstPosition,
        ids: new Array<number>(n).fill(0),
        drafts: undefined,
        nextToken: -1,
      },
    ],
    tableWrites: [
      {
        tableRow: 0,
        generation: 0,
        computed: firstPosition,
        lastPosition: geometry.maxBlocks * 16 - 1,
        firstOutputPosition: 0,
        sampling: { temperature: 1, topK: 40, topP: 0.95, seed: 1, sampleIndex: 0 },
      },
    ],
    blockWrites: blocks.map((block, index) => ({ tableRow: 0, index, block })),
  }
}

/** The same rows as a decoding request with drafts, which may leave partials. */
function asDecode(plan: StepPlan): StepPlan {
  const requests = plan.requests.map((request) => ({ ...request, k: request.n - 1, ids: undefined }))
  return { ...plan, requests, sampledRows: plan.rows }
}

/** Seeded values in (-1, 1). */
function noise(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}

/** Words of two seeded float16 values each, of magnitude 2^-5 to 2. */
function halfNoise(length: number, seed: number): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(new Uint32Array(noise(length, seed).buffer), (bits) => {
    const scrambled = Math.imul(bits, 0x9e3779b1) >>> 0
    return ((scrambled & 0x93ff93ff) | 0x28002800) >>> 0
  })
}
