/**
 * One step on the GPU: checks the plan against the buffers, packs it, encodes the program made at load, submits once and reads
 * one answer back. In steady state it creates nothing. It must never know text, queues or budgets.
 */

import type { StepOutput, StepPlan } from '../core/stepPlan.ts'
import type { StepRunner } from '../core/stepRunner.ts'
import type { Arena } from '../gpu/arena.ts'
import type { Gpu } from '../gpu/device.ts'
import type { ReadbackRing, ReadbackSlot } from '../gpu/readback.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { WeirError } from '../protocol/errors.ts'
import { checkBudget } from './budgetCheck.ts'
import type { StepGeometry } from './geometry.ts'
import { type Dispatch, encodeProgram } from './program.ts'
import { answerBytes, answerSources, type LogitsDebug, parseAnswer } from './stepResults.ts'
import type { StepUpload } from './stepUpload.ts'

/** What a runner is made of; `createGpuRunner` loads it. */
export interface GpuRunnerParts {
  readonly gpu: Gpu
  readonly spec: ModelSpec
  readonly geometry: StepGeometry
  readonly arena: Arena
  readonly upload: StepUpload
  readonly program: readonly Dispatch[]
  readonly readbacks: ReadbackRing
  readonly logits: LogitsDebug
  /** the variant chosen for each operation that has several */
  readonly kernels: Readonly<Record<string, string>>
  readonly batchInvariant: boolean
  readonly plannedBytes: number
  readonly now: () => number
}

export class GpuRunner implements StepRunner {
  readonly parts: GpuRunnerParts
  /** settles the steps in order */
  #tail: Promise<unknown> = Promise.resolve()
  #fault: WeirError | undefined
  /** rejects the answers that steps in flight wait for */
  readonly #waiting = new Set<(error: WeirError) => void>()
  readonly #onUncaptured = (event: Event): void => {
    this.#fault ??= faultOf((event as GPUUncapturedErrorEvent).error)
  }

  constructor(parts: GpuRunnerParts) {
    this.parts = parts
    const { device, lost } = parts.gpu
    device.addEventListener('uncapturederror', this.#onUncaptured)
    lost.then((error) => {
      this.#fault ??= error
      for (const reject of this.#waiting) reject(this.#fault)
    })
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

  /** Frees every buffer; the device stays with whoever opened it. */
  dispose(): void {
    this.#fault ??= new WeirError('DISPOSED', 'the engine was disposed')
    this.parts.gpu.device.removeEventListener('uncapturederror', this.#onUncaptured)
    this.parts.arena.dispose()
  }

  async #run(plan: StepPlan, before: Promise<unknown>): Promise<StepOutput> {
    const { now, logits, readbacks, spec } = this.parts
    this.#check()
    checkBudget(plan, this.parts.geometry)
    const slot = await readbacks.acquire()
    const start = now()
    const encodedRows = this.#encode(plan, slot)
    const encoded = now()
    const bytes = answerBytes(plan.requests.length, plan.sampledRows, spec.vocabSize, logits)
    const read = slot.read(bytes, (answer) => parseAnswer(answer, plan, spec.vocabSize, logits))
    const requests = await this.#orFault(read)
    await before
    this.#check()
    return { step: plan.step, encodedRows, requests, ms: { encode: encoded - start, wait: now() - encoded } }
  }

  #encode(plan: StepPlan, slot: ReadbackSlot): number {
    const { gpu, arena, upload, program, spec, logits } = this.parts
    const counts = upload.write(plan)
    const encoder = gpu.device.createCommandEncoder({ label: 'step' })
    encodeProgram(encoder, program, counts)
    const buffer = (name: string) => arena.buffer(name)
    slot.copy(encoder, answerSources(buffer, counts.requests, counts.sampled, spec.vocabSize, logits))
    gpu.device.queue.submit([encoder.finish()])
    return counts.rows
  }

  /** An answer, or the fault: a lost device may never settle a read, or fail it with a less telling error. */
  async #orFault<T>(read: Promise<T>): Promise<T> {
    let giveUp: (error: WeirError) => void = () => {}
    const fault = new Promise<never>((_, reject) => {
      giveUp = reject
    })
    this.#waiting.add(giveUp)
    try {
      return await Promise.race([read, fault])
    } catch (cause) {
      throw this.#fault ?? WeirError.from(cause)
    } finally {
      this.#waiting.delete(giveUp)
    }
  }

  #check(): void {
    if (this.#fault) throw this.#fault
  }
}

function faultOf(error: GPUError): WeirError {
  if (error.constructor.name === 'GPUOutOfMemoryError') {
    return new WeirError('OUT_OF_MEMORY', `the device ran out of memory in a step: ${error.message}`)
  }
  return new WeirError('INTERNAL', `WebGPU refused a command of a step: ${error.message}`)
}
