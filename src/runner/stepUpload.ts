/** Writes the inputs of a step to the device. Queue writes are ordered with submits. */

import type { StepPlan, TableWrite } from '../core/stepPlan.ts'
import type { Arena } from '../gpu/arena.ts'
import { packAdjustments } from '../kernels/adjustLogits.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { assert } from '../util/math.ts'
import type { GpuGeometry } from './gpuGeometry.ts'
import { PlanPacker, TABLE_ROW_WORDS, tableRowWords } from './packPlan.ts'
import { drafterRuns, type StepCounts } from './stepCounts.ts'

export class StepUpload {
  readonly #queue: GPUQueue
  readonly #arena: Arena
  readonly #geometry: GpuGeometry
  readonly #packer: PlanPacker
  /** scratch: the `adjustments` row of one request */
  readonly #adjustments: Uint32Array<ArrayBuffer>
  readonly #vocabSize: number

  constructor(queue: GPUQueue, arena: Arena, spec: ModelSpec, geometry: GpuGeometry) {
    this.#queue = queue
    this.#arena = arena
    this.#geometry = geometry
    this.#packer = new PlanPacker(spec, geometry)
    this.#adjustments = new Uint32Array(geometry.adjustments)
    this.#vocabSize = spec.vocabSize
  }

  /** Writes a plan that was checked to fit the buffers. @returns the counts that decide the grids of its dispatches */
  write(plan: StepPlan): StepCounts {
    const packer = this.#packer
    for (const row of plan.tableWrites) {
      this.#write('table', tableRowWords(row), row.tableRow * TABLE_ROW_WORDS)
      this.#writeAdjustments(row)
    }
    for (const { tableRow, index, block } of plan.blockWrites) {
      this.#write('blockTable', new Uint32Array([block]), tableRow * this.#geometry.maxBlocks + index)
    }
    const { counts, items, merges } = packer.pack(plan)
    this.#write('passes', packer.passes)
    this.#write('requests', packer.requests)
    this.#write('rowPlan', packer.rowPlan)
    this.#write('rowIndex', packer.rowIndex)
    this.#write('items', items)
    this.#write('merges', merges)
    if (drafterRuns(counts)) {
      this.#write('drafterPlan', packer.drafterPlan)
      this.#write('draftRequests', packer.draftRequests)
    }
    return counts
  }

  /** Uploads the token history and bias of a request with penalties or a bias, earlier output included. */
  #writeAdjustments({ tableRow, history, firstOutputPosition, sampling }: TableWrite): void {
    if (history === undefined) return
    const words = this.#adjustments
    assert(words.length > 0, 'penalties are enabled in this engine')
    packAdjustments(words, this.#vocabSize, {
      tokens: history,
      promptLength: firstOutputPosition,
      logitBias: sampling.logitBias,
    })
    this.#write('adjustments', words, tableRow * words.length)
  }

  #write(name: string, words: Uint32Array<ArrayBuffer>, firstWord = 0): void {
    this.#queue.writeBuffer(this.#arena.buffer(name), firstWord * 4, words)
  }
}
