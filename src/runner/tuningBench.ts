/**
 * Runs parts of a step on synthetic plans while loading, to time them and to compare their bits. Uses the planned
 * buffers.
 */

import { BLOCK_SIZE } from '../core/cost.ts'
import { GREEDY } from '../core/samplingParams.ts'
import type { StepPlan } from '../core/stepPlan.ts'
import type { Gpu } from '../gpu/device.ts'
import { MAP_READ } from '../gpu/readback.ts'
import type { ModelContext } from './modelOps.ts'
import { buildProgram, type Dispatch, encodeProgram, type Op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import type { StepUpload } from './stepUpload.ts'

export class TuningBench {
  readonly model: Omit<ModelContext, 'kernels'>
  readonly upload: StepUpload
  readonly #gpu: Gpu
  readonly #now: () => number

  /** @param now milliseconds */
  constructor(gpu: Gpu, model: Omit<ModelContext, 'kernels'>, upload: StepUpload, now: () => number) {
    this.model = model
    this.upload = upload
    this.#gpu = gpu
    this.#now = now
  }

  /** Compiles the ops with these labels. */
  build(ops: readonly Op[], labels: readonly string[]): Promise<Dispatch[]> {
    return buildProgram(
      this.#gpu,
      ops.filter(({ label }) => labels.includes(label)),
    )
  }

  async run(program: readonly Dispatch[], counts: StepCounts): Promise<void> {
    const { device } = this.#gpu
    const encoder = device.createCommandEncoder({ label: 'tuning' })
    encodeProgram(encoder, program, counts)
    device.queue.submit([encoder.finish()])
    await device.queue.onSubmittedWorkDone()
  }

  /** Milliseconds of one run. */
  async time(program: readonly Dispatch[], counts: StepCounts): Promise<number> {
    const start = this.#now()
    await this.run(program, counts)
    return this.#now() - start
  }

  /** The first words of a buffer, read in pieces of the readback buffer's size. */
  async read(name: string, words: number): Promise<Uint32Array> {
    const { device } = this.#gpu
    const answer = this.model.buffer('readback.0')
    const copy = new Uint32Array(words)
    for (let first = 0; first < words; first += answer.size / 4) {
      const bytes = Math.min(words * 4 - first * 4, answer.size)
      const encoder = device.createCommandEncoder({ label: 'tuning' })
      encoder.copyBufferToBuffer(this.model.buffer(name), first * 4, answer, 0, bytes)
      device.queue.submit([encoder.finish()])
      await answer.mapAsync(MAP_READ, 0, bytes)
      copy.set(new Uint32Array(answer.getMappedRange(0, bytes)), first)
      answer.unmap()
    }
    return copy
  }

  write(name: string, words: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>, firstWord = 0): void {
    this.#gpu.device.queue.writeBuffer(this.model.buffer(name), firstWord * 4, words)
  }

  /** A plan of one request with rows from `firstPosition` on. With `decoding`, all rows but the base row are drafts. */
  plan(ids: readonly number[], firstPosition: number, decoding = false): StepPlan {
    const { geometry } = this.model
    const n = ids.length
    const k = decoding ? n - 1 : 0
    const lastPosition = geometry.maxBlocks * BLOCK_SIZE - 1
    return {
      step: 0,
      rows: n,
      sampledRows: k + 1,
      kvPassRows: 0,
      requests: [
        {
          requestId: 0,
          tableRow: 0,
          generation: 0,
          n,
          k,
          m: 0,
          samples: true,
          firstPosition,
          ids: decoding ? undefined : ids,
          drafts: undefined,
          nextToken: -1,
          inKvPass: false,
          catchUpFrom: 0,
          catchUpTokens: [],
        },
      ],
      tableWrites: [
        {
          tableRow: 0,
          generation: 0,
          computed: firstPosition,
          lastPosition,
          firstOutputPosition: 0,
          sampling: GREEDY,
          history: undefined,
        },
      ],
      blockWrites: Array.from({ length: geometry.maxBlocks }, (_, index) => ({
        tableRow: 0,
        index,
        block: index % geometry.totalBlocks,
      })),
    }
  }
}
