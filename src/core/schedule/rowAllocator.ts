/**
 * Gives the rows and blocks of a step to the running requests: base rows, then drafts in rounds, then prompts. It changes nothing
 * but the step, so after a preemption the step is planned again from nothing. It must never know which request is preempted.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import { cdiv } from '../../util/math.ts'
import { chunkRows, numSpeculativeTokens } from '../cost.ts'
import { claimBlocks } from '../kv/blockFit.ts'
import type { RunningRequest } from '../request.ts'
import type { DraftDecision } from '../speculation/draftPolicy.ts'
import type { Speculation } from '../speculation/speculation.ts'
import { AdmissionRound, type AdmissionState } from './admission.ts'
import type { BudgetRule } from './budgetPolicy.ts'
import { allocateDrafts } from './draftAllocation.ts'
import { Share, StepAllocation } from './stepAllocation.ts'

/** What a step is planned from. */
export interface AllocationState extends AdmissionState {
  readonly options: EngineOptions
  readonly rule: BudgetRule
  readonly speculation: Speculation
}

export class RowAllocator {
  readonly #state: AllocationState

  constructor(state: AllocationState) {
    this.#state = state
  }

  /** Asks how many drafts the step may have, given the rows that prompts would have without them. */
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
    const setAside = Math.min(prefillRows, cdiv(maxNumBatchedTokens, 4))
    return speculation.decide(running.ordered, prefillRows, rest - setAside)
  }

  /**
   * Gives rows to all running requests. Where blocks are short drafts are given up before a request is preempted.
   * @param admitting whether waiting requests may be admitted afterwards
   * @returns undefined when a request finds no block for a single row even without drafts
   */
  allocate(stepNumber: number, drafts: DraftDecision, admitting: boolean): StepAllocation | undefined {
    const most = numSpeculativeTokens(this.#state.options)
    const step = this.#allocateWith(stepNumber, drafts, most, admitting)
    return step ?? (most > 0 ? this.#allocateWith(stepNumber, drafts, 0, admitting) : undefined)
  }

  /**
   * Gives a prompt its rows of the step, if any are left, and their blocks.
   * @param most drafts to propose at its end, at most, whatever was decided
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
    const n = Math.min(step.rest, chunk)
    const share = n > 0 ? step.add(new Share(running, n, true, admitted)) : undefined
    if (share && n < running.prefillRemaining) share.shortage = n < chunk ? 'rows' : 'threshold'
    if (share && !this.#claim(step, share, drafts, most)) return false
    step.promise(running, share)
    return true
  }

  /** @param most drafts of a request, whatever was decided */
  #allocateWith(
    stepNumber: number,
    drafts: DraftDecision,
    most: number,
    admitting: boolean,
  ): StepAllocation | undefined {
    const { options, rule, kv, running } = this.#state
    const step = new StepAllocation(rule.budget(options), kv.freeBlocks)
    const decoding = this.#allocateBaseRows(step, drafts)
    const setAside = this.#setAside(step, decoding, drafts, admitting)
    allocateDrafts(step, decoding, setAside, most, rule.draftCharge, stepNumber)
    for (const share of decoding) if (!this.#claim(step, share, drafts, most)) return undefined
    for (const one of running.ordered) {
      if (one.prefillRemaining > 0 && !this.allocatePrefill(step, one, false, drafts, most)) return undefined
    }
    return step
  }

  /** Every decoding request gets one: a request is admitted only if a row is left, so the budget covers them. */
  #allocateBaseRows(step: StepAllocation, drafts: DraftDecision): readonly Share[] {
    const { running, speculation } = this.#state
    for (const one of running.ordered) {
      if (!one.decodeReady || !one.wantsRows) continue
      step.add(new Share(one, 1, false, false, speculation.verifiable(one, drafts)))
    }
    return step.shares.slice()
  }

  /** Rows that drafts must leave for prompts and for the drafter to catch up: what these can use, at most a quarter of B. */
  #setAside(step: StepAllocation, decoding: readonly Share[], decision: DraftDecision, admitting: boolean): number {
    const { options, running, speculation } = this.#state
    const most = Math.max(0, Math.min(step.rest, cdiv(options.maxNumBatchedTokens, 4)))
    let drafts = 0
    for (const { usableDrafts } of decoding) drafts += usableDrafts
    if (drafts <= step.rest - most) return 0
    let wanted = 0
    for (const one of running.ordered) {
      wanted += this.#chunk(one)
      if (speculation.follows(one, decision)) wanted += one.drafterLag
    }
    if (wanted >= most || !admitting) return Math.min(wanted, most)
    const scratch = new StepAllocation(step.rest, step.freeBlocks)
    for (const one of running.ordered) scratch.promise(one, undefined)
    return wanted + new AdmissionRound(this.#state, scratch).wantedRows(most - wanted)
  }

  #claim(step: StepAllocation, share: Share, drafts: DraftDecision, most: number): boolean {
    const { rule, speculation } = this.#state
    return claimBlocks(step, share, Math.min(most, speculation.proposable(share.running, drafts)), rule.draftCharge)
  }

  /** Rows a prompt may have in one step. */
  #chunk(running: RunningRequest): number {
    return chunkRows(running.prefillRemaining, this.#state.options.longPrefillTokenThreshold)
  }
}
