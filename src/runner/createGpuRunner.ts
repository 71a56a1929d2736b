/**
 * Loads an engine onto a GPU: plans and allocates every buffer, uploads the weights, chooses the kernel set by
 * measurement, compiles the program of a step, checks its numerics on this device, and seals the arena.
 */

import type { RunnerSource } from '../backend/backend.ts'
import { Arena, plannedBytes } from '../gpu/arena.ts'
import type { Gpu } from '../gpu/device.ts'
import { DeviceFaults } from '../gpu/faults.ts'
import { ReadbackRing } from '../gpu/readback.ts'
import { PassTimer } from '../gpu/timing.ts'
import { ITEM_WORDS, NO_PART } from '../kernels/attentionPlan.ts'
import { verifyStep } from '../kernels/verifyStep.ts'
import { queryFactor, ropeFrequencies } from '../models/rope.ts'
import { WeirError } from '../protocol/errors.ts'
import { assert } from '../util/math.ts'
import { ropeTable } from '../util/ropeTable.ts'
import { ropeBuffer } from './block.ts'
import { allBuffers, planBuffers } from './bufferPlan.ts'
import { chooseKernels } from './chooseKernels.ts'
import { drafterOps } from './drafter.ts'
import { targetOps } from './forward.ts'
import { type GpuGeometry, gpuGeometry } from './gpuGeometry.ts'
import { GpuRunner } from './gpuRunner.ts'
import { draftsFromSubset } from './head.ts'
import { KERNEL_SETS, type KernelSet, variantNames } from './kernelSet.ts'
import { type ColumnCopy, WeightUploader } from './loadWeights.ts'
import { type ModelContext, named } from './modelOps.ts'
import { passSlice } from './passes.ts'
import { buildProgram, checkGrids, type Dispatch, type Op, op, type StepPass } from './program.ts'
import { sampleOps } from './sampling.ts'
import { mayLeavePartials, rowsAreInvariant } from './selfCheck.ts'
import { drafterRuns, mostCounts } from './stepCounts.ts'
import type { LogitsDebug } from './stepResults.ts'
import { StepUpload } from './stepUpload.ts'
import { TuningBench } from './tuningBench.ts'
import { DRAFT_HEAD, headMatrix, type WeightLayout } from './weightLayout.ts'

export interface GpuRunnerOptions extends RunnerSource {
  readonly gpu: Gpu
  /** default: the faster set on this device, measured */
  readonly kernels?: KernelSet
  /** most bytes of a weight buffer; default: what every device can bind */
  readonly bindingBytes?: number | undefined
}

/**
 * @throws LIMIT_EXCEEDED, OUT_OF_MEMORY, MODEL_FORMAT, MODEL_FETCH, ABORTED, DEVICE_LOST; every buffer is freed then
 */
export async function createGpuRunner(from: GpuRunnerOptions): Promise<GpuRunner> {
  const arena = new Arena(from.gpu.device)
  const faults = new DeviceFaults(from.gpu)
  try {
    return await faults.orFault(load(from, arena, faults))
  } catch (error) {
    faults.stop()
    arena.dispose()
    throw error
  }
}

async function load(from: GpuRunnerOptions, arena: Arena, faults: DeviceFaults): Promise<GpuRunner> {
  const { gpu, spec, options, weights, now } = from
  const geometry = gpuGeometry(spec, options)
  const plan = planBuffers(spec, options, weights.tensors, from.bindingBytes)
  const { layout } = plan
  await arena.allocate(allBuffers(plan))
  const unchosen: Omit<ModelContext, 'kernels'> = {
    spec,
    geometry,
    kvDtype: options.kvCacheDtype,
    buffer: (name) => arena.buffer(name),
    layout,
  }
  const opsOf = (kernels: KernelSet) => stepOps({ ...unchosen, kernels }, options.debug.logits)
  for (const set of from.kernels ? [from.kernels] : KERNEL_SETS) {
    const { target, drafter } = opsOf(set)
    checkGrids([...target, ...drafter], mostCounts(geometry), gpu.device.limits)
  }
  const uploader = new WeightUploader(gpu.device.queue, arena, layout, draftHead(from, geometry))
  await loadWeights(from, arena, layout, uploader)
  writeConstants(from, arena, geometry)

  const common = {
    gpu,
    faults,
    spec,
    arena,
    logits: options.debug.logits,
    plannedBytes: plannedBytes(allBuffers(plan)),
    readbacks: new ReadbackRing(arena),
    now,
  }
  const upload = new StepUpload(gpu.device.queue, arena, spec, geometry)
  const bench = new TuningBench(gpu, unchosen, upload, now)
  const kernels = from.kernels ?? (await chooseKernels(bench))
  const splits = await mayLeavePartials(bench, kernels)
  aborted(from.signal)

  const safe = splits ? geometry : { ...geometry, maxParts: 0 }
  const { target, drafter } = opsOf(kernels)
  const program = await buildProgram(gpu, [...target, ...drafter], (loaded, total) => {
    aborted(from.signal)
    from.onProgress?.({ phase: 'compile', file: '', loaded, total })
  })
  const batchInvariant = await rowsAreInvariant(bench, program)
  aborted(from.signal)
  const timer = await PassTimer.open(gpu, arena)
  arena.seal()
  return new GpuRunner({
    ...common,
    geometry: safe,
    upload: splits ? upload : new StepUpload(gpu.device.queue, arena, spec, safe),
    program: stepPasses(program, target.length, timer),
    timer,
    kernels: variantNames(kernels),
    batchInvariant,
  })
}

/** All ops of a step: the target's (forward, sampling, verification), and the drafter's where the engine has one. */
function stepOps(model: ModelContext, logits: LogitsDebug): { readonly target: Op[]; readonly drafter: Op[] } {
  const verify = op('verify', verifyStep, { vocabSize: model.spec.vocabSize }, (counts) => counts.requests, {
    pass: passSlice(model.buffer('passes'), 'requests'),
    ...named(model, ['requests', 'ids', 'tokens', 'table', 'results', 'adjustments']),
  })
  const target = [...targetOps(model), ...sampleOps(model, logits), verify]
  return { target, drafter: model.geometry.drafts > 0 ? drafterOps(model) : [] }
}

/** The compute passes of a step: the target's, which are the first `split` dispatches, and the drafter's if there is one. */
function stepPasses(program: readonly Dispatch[], split: number, timer: PassTimer | undefined): StepPass[] {
  const target = { dispatches: program.slice(0, split), descriptor: timer?.descriptor(0), runs: () => true }
  if (split === program.length) return [target]
  return [target, { dispatches: program.slice(split), descriptor: timer?.descriptor(1), runs: drafterRuns }]
}

async function loadWeights(
  from: GpuRunnerOptions,
  arena: Arena,
  layout: WeightLayout,
  uploader: WeightUploader,
): Promise<void> {
  const { weights, signal, onProgress } = from
  const reading = weights.read(layout.tensors, uploader.add.bind(uploader), {
    signal,
    onProgress: (progress) => onProgress?.({ phase: 'fetch', ...progress }),
  })
  await reading.catch((thrown: unknown) => {
    throw thrown instanceof RangeError ? hostOutOfMemory(thrown) : thrown
  })
  assert(uploader.complete, 'every row of a tensor was delivered')
  await from.gpu.device.queue.onSubmittedWorkDone()
  onProgress?.({ phase: 'upload', file: '', loaded: arena.allocatedBytes, total: arena.allocatedBytes })
}

/**
 * A few megabytes of rows are held in host memory before their upload. Sizes were checked, so a RangeError means that memory ran out.
 */
function hostOutOfMemory(cause: RangeError): WeirError {
  const message = `the browser has no memory for rows of the weights (${cause.message}): take a smaller model`
  return new WeirError('OUT_OF_MEMORY', message, {}, { cause })
}

/** The columns of the LM head for the reduced draft vocabulary; undefined where drafts come from all of it. */
function draftHead({ spec, draftVocab }: GpuRunnerOptions, geometry: GpuGeometry): ColumnCopy | undefined {
  if (!draftsFromSubset({ spec, geometry })) return undefined
  assert(draftVocab?.length === geometry.draftVocab, `${geometry.draftVocab} ids of the draft vocabulary`)
  return { from: headMatrix(spec), to: DRAFT_HEAD, columns: draftVocab }
}

/**
 * Writes the constant buffers: the rotary table, the ids of the draft vocabulary, and the attention items of a draft
 * pass, one per row.
 */
function writeConstants(from: GpuRunnerOptions, arena: Arena, geometry: GpuGeometry): void {
  const { gpu, spec, options, draftVocab } = from
  const { queue } = gpu.device
  const { maxModelLen } = options
  for (const [index, rope] of spec.ropes.entries()) {
    const { frequencies, factor } = ropeFrequencies(rope, maxModelLen)
    const keys = ropeTable(frequencies, maxModelLen, () => factor)
    queue.writeBuffer(arena.buffer(ropeBuffer(index)), 0, keys)
    if (!spec.queryScaling) continue
    const queries = ropeTable(frequencies, maxModelLen, (position) => factor * queryFactor(spec, position))
    queue.writeBuffer(arena.buffer(ropeBuffer(index)), keys.byteLength, queries)
  }
  if (geometry.drafts === 0) return
  const items = new Uint32Array(geometry.seqs * ITEM_WORDS)
  for (let row = 0; row < geometry.seqs; row++) {
    items.set([row, 1, 0, geometry.maxSplits, NO_PART], row * ITEM_WORDS)
  }
  queue.writeBuffer(arena.buffer('draftItems'), 0, items)
  if (draftVocab && draftsFromSubset({ spec, geometry })) {
    queue.writeBuffer(arena.buffer('draftIds'), 0, Uint32Array.from(draftVocab))
  }
}

function aborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new WeirError('ABORTED', 'the load was aborted by its signal')
}
