/**
 * Packs a step plan into the 32-bit words that the kernels read: `StepRequest` records, the row plans of the target and
 * of the drafter's KV pass, the row index of sampled rows, the drafting requests, attention items and pass uniforms. The
 * arrays are allocated once; packing a step writes a prefix of each.
 */

import { adjustsLogits } from '../core/samplingParams.ts'
import type { PlannedRequest, StepPlan, TableWrite } from '../core/stepPlan.ts'
import { type AttentionRows, planAttention } from '../kernels/attentionPlan.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { GpuGeometry } from './gpuGeometry.ts'
import { passBytes, writePasses } from './passes.ts'
import type { StepCounts } from './stepCounts.ts'

/** Words of a `StepRequest`, a `TableRow` and a `StepResult` (shaders/lib). */
export const REQUEST_WORDS = 13
export const TABLE_ROW_WORDS = 21
export const RESULT_WORDS = 18

const SAMPLES = 1
const PROMPT = 2
const PLAN_DRAFTS = 4
const VERIFICATION_FLAGS = { none: 8, all: 16 } as const

export interface PackedStep {
  readonly counts: StepCounts
  readonly items: Uint32Array<ArrayBuffer>
  readonly merges: Uint32Array<ArrayBuffer>
}

export class PlanPacker {
  /** [S][REQUEST_WORDS] */
  readonly requests: Uint32Array<ArrayBuffer>
  /** [B][2]: index of the request in this step, token id if the plan has it */
  readonly rowPlan: Uint32Array<ArrayBuffer>
  /** [B][2] of the drafter's KV pass: index of the request in this step, the row's next token if the host knows it */
  readonly drafterPlan: Uint32Array<ArrayBuffer>
  /** [R]: rows whose logits are needed */
  readonly rowIndex: Uint32Array<ArrayBuffer>
  /** [S]: indices of drafting requests, most drafts first, so that each draft pass runs a prefix */
  readonly draftRequests: Uint32Array<ArrayBuffer>
  readonly passes: Uint32Array<ArrayBuffer>
  readonly #geometry: GpuGeometry
  readonly #group: number
  readonly #noDraftPasses: readonly number[]
  /** [S] by table row: 1 where the request has penalties or a logit bias */
  readonly #adjusts: Uint8Array

  constructor(spec: ModelSpec, geometry: GpuGeometry) {
    this.requests = new Uint32Array(geometry.seqs * REQUEST_WORDS)
    this.rowPlan = new Uint32Array(geometry.rows * 2)
    this.drafterPlan = new Uint32Array(geometry.drafts > 0 ? geometry.rows * 2 : 0)
    this.rowIndex = new Uint32Array(geometry.sampled)
    this.draftRequests = new Uint32Array(geometry.seqs)
    this.passes = new Uint32Array(passBytes(geometry.drafts) / 4)
    this.#geometry = geometry
    this.#adjusts = new Uint8Array(geometry.seqs)
    this.#group = spec.numHeads / spec.numKvHeads
    this.#noDraftPasses = new Array<number>(geometry.drafts).fill(0)
  }

  /** Packs a plan that was checked to fit the buffers. */
  pack(plan: StepPlan): PackedStep {
    for (const { tableRow, sampling } of plan.tableWrites) this.#adjusts[tableRow] = adjustsLogits(sampling) ? 1 : 0
    let row = 0
    let sampled = 0
    let kvPass = 0
    let parts = 0
    const attention: AttentionRows[] = []
    plan.requests.forEach((request, index) => {
      this.#packRequest(plan.step, request, index, row, sampled, kvPass)
      kvPass = this.#packKvPass(request, index, kvPass)
      for (let offset = 0; offset < request.n; offset++) {
        this.rowPlan[2 * (row + offset)] = index
        this.rowPlan[2 * (row + offset) + 1] = plannedId(request, offset)
      }
      if (request.samples) {
        for (let j = 0; j <= request.k; j++) this.rowIndex[sampled++] = row + request.n - 1 - request.k + j
      }
      const maxPosition = request.firstPosition + request.n - 1
      const split = request.ids === undefined && parts + request.n * this.#geometry.maxSplits <= this.#geometry.maxParts
      if (split) parts += request.n * this.#geometry.maxSplits
      attention.push({ firstRow: row, rowCount: request.n, maxPosition, split })
      row += request.n
    })
    const drafting = this.#packDrafting(plan)
    const { items, itemCount, merges, mergeCount } = planAttention(attention, this.#group)
    const counts: StepCounts = {
      rows: row,
      sampled,
      adjusted: plan.requests.some(({ samples, tableRow }) => samples && this.#adjusts[tableRow]) ? sampled : 0,
      requests: plan.requests.length,
      kvPass,
      drafting,
      items: itemCount,
      merges: mergeCount,
    }
    writePasses(this.passes, counts)
    return { counts, items, merges }
  }

  #packRequest(
    step: number,
    request: PlannedRequest,
    index: number,
    firstRow: number,
    firstSampled: number,
    firstKvPass: number,
  ): void {
    const flags =
      (request.samples ? SAMPLES : 0) |
      (request.ids === undefined ? 0 : PROMPT) |
      (request.drafts === undefined ? 0 : PLAN_DRAFTS) |
      (request.verification ? VERIFICATION_FLAGS[request.verification] : 0)
    this.requests.set(
      [
        request.tableRow,
        request.generation,
        firstRow,
        request.n,
        request.k,
        request.m,
        flags,
        request.firstPosition,
        firstSampled,
        step,
        firstKvPass,
        request.catchUpTokens.length,
        request.catchUpFrom,
      ],
      index * REQUEST_WORDS,
    )
  }

  /** Rows to catch up on, then those of this step. @returns the end of its rows */
  #packKvPass({ catchUpTokens, inKvPass, n, ids, nextToken }: PlannedRequest, index: number, first: number): number {
    let row = first
    const pack = (token: number) => {
      this.drafterPlan[2 * row] = index
      this.drafterPlan[2 * row + 1] = Math.max(token, 0)
      row++
    }
    for (const token of catchUpTokens) pack(token)
    if (inKvPass) for (let offset = 0; offset < n; offset++) pack(ids?.[offset + 1] ?? nextToken)
    return row
  }

  /** Orders the drafting requests. @returns their number in each draft pass */
  #packDrafting(plan: StepPlan): readonly number[] {
    const order = plan.requests
      .map((request, index) => ({ index, m: request.m }))
      .filter(({ m }) => m > 0)
      .sort((a, b) => b.m - a.m || a.index - b.index)
    if (order.length === 0) return this.#noDraftPasses
    order.forEach(({ index }, draft) => {
      this.draftRequests[draft] = index
    })
    return Array.from({ length: this.#geometry.drafts }, (_, pass) => order.filter(({ m }) => m > pass).length)
  }
}

/** The words of a request table row, written at admission. */
export function tableRowWords(write: TableWrite): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(TABLE_ROW_WORDS)
  const floats = new Float32Array(words.buffer)
  const { sampling } = write
  words[0] = write.generation
  words[1] = write.computed
  words[3] = write.lastPosition
  floats[8] = sampling.temperature
  floats[9] = sampling.topP
  words[10] = sampling.topK
  words[11] = sampling.sampleIndex
  words[12] = sampling.seed % 2 ** 32
  words[13] = Math.floor(sampling.seed / 2 ** 32)
  words[14] = write.firstOutputPosition
  words[15] = adjustsLogits(sampling) ? 1 : 0
  floats[16] = sampling.minP > 0 ? -sampling.temperature * Math.log(sampling.minP) : -1
  floats[17] = sampling.repetitionPenalty
  floats[18] = 1 / sampling.repetitionPenalty
  floats[19] = sampling.presencePenalty
  floats[20] = sampling.frequencyPenalty
  return words
}

/** The token id of a row if the plan has it, else 0: the kernel then reads it from the request table. */
function plannedId(request: PlannedRequest, offset: number): number {
  if (request.ids) return request.ids[offset] ?? 0
  return offset > 0 ? (request.drafts?.[offset - 1] ?? 0) : 0
}
