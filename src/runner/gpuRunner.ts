/**
 * Runs a step on the GPU: checks the plan against the buffers, packs it, encodes the program made at load, submits once
 * and reads the results back once. It allocates no GPU resource in a step. It must never know text, queues or budgets.
 */

import { checkBudget } from '../core/budgetCheck.ts'
import type { StepOutput, StepPlan } from '../core/stepPlan.ts'
import type { StepRunner } from '../core/stepRunner.ts'
import type { Arena } from '../gpu/arena.ts'
import type { Gpu } from '../gpu/device.ts'
import type { DeviceFaults } from '../gpu/faults.ts'
import type { ReadbackRing, ReadbackSlot } from '../gpu/readback.ts'
import type { PassTimer } from '../gpu/timing.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { WeirError } from '../protocol/errors.ts'
import type { GpuGeometry } from './gpuGeometry.ts'
import { encodeProgram, type StepPass } from './program.ts'
import { answerBytes, answerSources, gpuTimes, type LogitsDebug, parseAnswer } from './stepResults.ts'
import type { StepUpload } from './stepUpload.ts'

/** The parts of a runner, as loaded by `createGpuRunner`. */
export interface GpuRunnerParts {
  readonly gpu: Gpu
  readonly faults: DeviceFaults
  readonly spec: ModelSpec
  readonly geometry: GpuGeometry
  readonly arena: Arena
  readonly upload: StepUpload
  /** the target's compute pass, then the drafter's */
  readonly program: readonly StepPass[]
  /** undefined where the device has no timestamp queries */
  readonly timer: PassTimer | undefined
  readonly readbacks: ReadbackRing
  readonly logits: LogitsDebug
  /** name of the chosen variant by operation */
  readonly kernels: Readonly<Record<string, string>>
  readonly batchInvariant: boolean
  readonly plannedBytes: number
  readonly now: () => number
}

export class GpuRunner implements StepRunner {
  readonly parts: GpuRunnerParts
  /** chain of earlier steps: outputs settle in the order of submission */
  #tail: Promise<unknown> = Promise.resolve()

  constructor(parts: GpuRunnerParts) {
    this.parts = parts
  }

  get kernels(): Readonly<Record<string, string>> {
    return this.parts.kernels
  }

  get batchInvariant(): boolean {
    return this.parts.batchInvariant
  }

  get plannedBytes(): number {
    return this.parts.plannedBytes
  }

  get allocatedBytes(): number {
    return this.parts.arena.allocatedBytes
  }

  async submit(plan: StepPlan): Promise<StepOutput> {
    const before = this.#tail
    const step = this.#run(plan, before)
    this.#tail = step.catch(() => {})
    return step
  }

  /** Frees every buffer; does not destroy the device, which belongs to the caller. */
  dispose(): void {
    const { faults, arena, timer } = this.parts
    faults.raise(new WeirError('DISPOSED', 'the engine was disposed'))
    faults.stop()
    arena.dispose()
    timer?.dispose()
  }

  async #run(plan: StepPlan, before: Promise<unknown>): Promise<StepOutput> {
    const { now, logits, readbacks, spec, faults } = this.parts
    faults.check()
    checkBudget(plan, this.parts.geometry)
    const slot = await readbacks.acquire()
    const start = now()
    const encodedRows = this.#encode(plan, slot)
    const encoded = now()
    const marks = answerBytes(plan.requests.length, plan.sampledRows, spec.vocabSize, logits)
    const read = slot.read((answer) => ({
      requests: parseAnswer(answer, plan, spec.vocabSize, logits),
      times: gpuTimes(new Uint32Array(answer, marks)),
    }))
    const { requests, times } = await faults.orFault(read)
    await before
    faults.check()
    return { step: plan.step, encodedRows, requests, ms: { encode: encoded - start, wait: now() - encoded, ...times } }
  }

  #encode(plan: StepPlan, slot: ReadbackSlot): number {
    const { gpu, faults, arena, upload, program, timer, spec, logits } = this.parts
    try {
      faults.check()
      const counts = upload.write(plan)
      const encoder = gpu.device.createCommandEncoder({ label: 'step' })
      let passes = 0
      for (const pass of program) {
        if (pass.runs(counts) && encodeProgram(encoder, pass.dispatches, counts, pass.descriptor)) passes++
      }
      const buffer = (name: string) => arena.buffer(name)
      const sources = answerSources(buffer, counts.requests, counts.sampled, spec.vocabSize, logits)
      slot.copy(encoder, timer ? [...sources, timer.resolve(encoder, passes)] : sources)
      gpu.device.queue.submit([encoder.finish()])
      return counts.rows
    } catch (thrown) {
      slot.release()
      throw thrown
    }
  }
}
