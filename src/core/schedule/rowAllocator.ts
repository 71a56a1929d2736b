/**
 * Allocates a step's rows and blocks to the running requests: base rows, then drafts round-robin, then prefill chunks. Only the
 * step allocation is written, so after a preemption it can be made again from nothing. It must never know who is preempted.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import { cdiv } from '../../util/math.ts'
import { chunkRows, numSpeculativeTokens } from '../cost.ts'
import { reserveBlocks } from '../kv/blockReservation.ts'
import type { RunningRequest } from '../request.ts'
import type { DraftDecision } from '../speculation/draftPolicy.ts'
import type { Speculation } from '../speculation/speculation.ts'
import { AdmissionRound, type AdmissionState } from './admission.ts'
import type { BudgetRule } from './budgetPolicy.ts'
import { allocateDrafts } from './draftAllocation.ts'
import { RequestAllocation, StepAllocation } from './stepAllocation.ts'

/** What an allocation is made from. */
export interface SchedulerState extends AdmissionState {
  readonly options: EngineOptions
  readonly rule: BudgetRule
  readonly speculation: Speculation
}

export class RowAllocator {
  readonly #state: SchedulerState

  constructor(state: SchedulerState) {
    this.#state = state
  }

  /** Chooses the number of drafts, given the prefill rows that would run without drafts. */
  decideDrafts(): DraftDecision {
    const { running, waiting, options, speculation } = this.#state
    if (!speculation.adaptive) return speculation.decide(running.ordered, 0, 0)
    const { maxNumBatchedTokens, longPrefillTokenThreshold } = options
    let decoding = 0
    let prompts = 0
    for (const one of running.ordered) {
      if (one.decodeReady) decoding++
      else prompts += this.#chunk(one)
    }
    const head = running.freeSlots > 0 ? waiting.at(0) : undefined
    if (head) prompts += chunkRows(head.tokens.length, longPrefillTokenThreshold)
    const rest = Math.max(0, maxNumBatchedTokens - decoding)
    const prefillRows = Math.min(rest, prompts)
    const reservedRows = Math.min(prefillRows, cdiv(maxNumBatchedTokens, 4))
    return speculation.decide(running.ordered, prefillRows, rest - reservedRows)
  }

  /**
   * Allocates rows to every running request. When blocks run short, all drafts are dropped before any request is preempted.
   * @param admitting whether waiting requests may be admitted afterwards
   * @returns undefined when a request finds no block for a single row even without drafts
   */
  allocate(stepNumber: number, drafts: DraftDecision, admitting: boolean): StepAllocation | undefined {
    const most = numSpeculativeTokens(this.#state.options)
    const step = this.#allocateWith(stepNumber, drafts, most, admitting)
    return step ?? (most > 0 ? this.#allocateWith(stepNumber, drafts, 0, admitting) : undefined)
  }

  /**
   * Allocates a prefill chunk, if rows are left, and its blocks.
   * @param most upper bound on the drafts proposed at the prompt's end, beside the decision
   * @returns whether there is a block for one row at least
   */
  allocatePrefill(
    step: StepAllocation,
    running: RunningRequest,
    admitted: boolean,
    drafts: DraftDecision,
    most = numSpeculativeTokens(this.#state.options),
  ): boolean {
    const chunk = this.#chunk(running)
    const n = Math.min(step.rowsLeft, chunk)
    const allocation = n > 0 ? step.add(new RequestAllocation(running, n, true, admitted)) : undefined
    if (allocation && n < running.prefillRemaining) allocation.shortage = n < chunk ? 'rows' : 'threshold'
    if (allocation && !this.#reserveBlocks(step, allocation, drafts, most)) return false
    step.countPartialPrefill(running, allocation)
    return true
  }

  /** @param most upper bound on the drafts of a request, beside the decision */
  #allocateWith(
    stepNumber: number,
    drafts: DraftDecision,
    most: number,
    admitting: boolean,
  ): StepAllocation | undefined {
    const { options, rule, kv, running } = this.#state
    const step = new StepAllocation(rule.budget(options), kv.freeBlocks)
    const decoding = this.#allocateBaseRows(step, drafts)
    const reservedRows = this.#reservedRows(step, decoding, drafts, admitting)
    allocateDrafts(step, decoding, reservedRows, most, rule.draftCharge, stepNumber)
    for (const allocation of decoding) if (!this.#reserveBlocks(step, allocation, drafts, most)) return undefined
    for (const one of running.ordered) {
      if (one.prefillRemaining > 0 && !this.allocatePrefill(step, one, false, drafts, most)) return undefined
    }
    return step
  }

  /** One row for each decoding request. The budget covers them, because a request is admitted only while a row is left. */
  #allocateBaseRows(step: StepAllocation, drafts: DraftDecision): readonly RequestAllocation[] {
    const { running, speculation } = this.#state
    for (const one of running.ordered) {
      if (!one.decodeReady || !one.wantsRows) continue
      step.add(new RequestAllocation(one, 1, false, false, speculation.verifiable(one, drafts)))
    }
    return step.allocations.slice()
  }

  /** Rows that drafts must leave for prefill and for the drafter to catch up: as many as these can use, at most B / 4. */
  #reservedRows(
    step: StepAllocation,
    decoding: readonly RequestAllocation[],
    decision: DraftDecision,
    admitting: boolean,
  ): number {
    const { options, running, speculation } = this.#state
    const most = Math.max(0, Math.min(step.rowsLeft, cdiv(options.maxNumBatchedTokens, 4)))
    let drafts = 0
    for (const { usableDrafts } of decoding) drafts += usableDrafts
    if (drafts <= step.rowsLeft - most) return 0
    let wanted = 0
    for (const one of running.ordered) {
      wanted += this.#chunk(one)
      if (speculation.needsKvPass(one, decision)) wanted += one.drafterLag
    }
    if (wanted >= most || !admitting) return Math.min(wanted, most)
    const scratch = new StepAllocation(step.rowsLeft, step.freeBlocks)
    for (const one of running.ordered) scratch.countPartialPrefill(one, undefined)
    return wanted + new AdmissionRound(this.#state, scratch).wantedRows(most - wanted)
  }

  #reserveBlocks(step: StepAllocation, allocation: RequestAllocation, drafts: DraftDecision, most: number): boolean {
    const { rule, speculation } = this.#state
    return reserveBlocks(
      step,
      allocation,
      Math.min(most, speculation.proposable(allocation.running, drafts)),
      rule.draftCharge,
    )
  }

  /** The longest chunk that a prompt may get in one step. */
  #chunk(running: RunningRequest): number {
    return chunkRows(running.prefillRemaining, this.#state.options.longPrefillTokenThreshold)
  }
}
