/**
 * Speculation as the scheduler sees it: how many drafts each request may verify and propose in a step. It holds the
 * proposer and the policy that chooses the number, neither of which knows the other. It must never know rows or blocks.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import { kvPassRows, numSpeculativeTokens } from '../cost.ts'
import type { RunningRequest } from '../request.ts'
import type { ScheduledRequest } from '../schedule/schedulerOutput.ts'
import type { Verification } from '../stepPlan.ts'
import { type DraftDecision, type DraftingRequest, type DraftPolicy, fixedDrafts } from './draftPolicy.ts'
import { GoodputController } from './goodputController.ts'
import { NgramProposer } from './ngramProposer.ts'
import type { Proposer } from './proposer.ts'

/** In place of what the options ask for; for tests. */
export interface DraftingParts {
  readonly proposer?: Proposer | undefined
  /** chooses the number of drafts of every step */
  readonly policy?: DraftPolicy | undefined
}

export class Speculation {
  /** undefined: drafts are proposed on the device, at the end of the step before, or not at all */
  readonly #proposer: Proposer | undefined
  readonly #policy: DraftPolicy
  /** the number of drafts is chosen in every step; otherwise it is always the same */
  readonly adaptive: boolean
  readonly #most: number

  constructor(options: Pick<EngineOptions, 'speculative'>, { proposer, policy }: DraftingParts = {}) {
    const { speculative } = options
    const most = numSpeculativeTokens(options)
    this.#most = most
    this.#proposer = proposer ?? (speculative?.method === 'ngram' ? new NgramProposer(speculative) : undefined)
    this.adaptive = most > 0 && (policy !== undefined || speculative?.adaptive === true)
    const setup = { numSpeculativeTokens: most, verifiedAtOnce: this.#proposer !== undefined }
    this.#policy = policy ?? (this.adaptive ? new GoodputController(setup) : fixedDrafts(most))
  }

  get verification(): Verification | undefined {
    return this.#proposer?.verification
  }

  /**
   * Once per step, before its rows are allocated.
   * @param prefillRows rows of prompts that would run without drafts
   * @param draftRows rows that drafts may take at most
   */
  decide(running: readonly RunningRequest[], prefillRows: number, draftRows: number): DraftDecision {
    const requests = this.adaptive ? this.#drafting(running) : []
    return this.#policy.decide({ requests, prefillRows, draftRows })
  }

  /** Drafts of a request that a step may verify. */
  verifiable(running: RunningRequest, decision: DraftDecision): number {
    const { usableDrafts, request } = running
    return this.#proposer ? Math.min(usableDrafts, limitOf(request.id, decision)) : usableDrafts
  }

  /** Drafts that the device may propose for a request at a step's end. */
  proposable(running: RunningRequest, decision: DraftDecision): number {
    const { id, spec } = running.request
    return this.#proposer ? 0 : Math.min(spec.maxDrafts ?? this.#most, limitOf(id, decision))
  }

  /** Whether the drafter's KV pass should cover a request's rows, so that drafts can be proposed in this step or soon. */
  needsKvPass(running: RunningRequest, { runKvPass, fewer }: DraftDecision): boolean {
    if (this.#proposer || !runKvPass) return false
    return this.#limit(running) > 0 && fewer.get(running.request.id) !== 0
  }

  /** A request's rows have settled. */
  settled(running: RunningRequest): void {
    if (!this.#proposer) return
    const { request, decodeReady, stepsInFlight } = running
    const { maxDrafts = this.#most } = request.spec
    const wants = decodeReady && stepsInFlight === 0 && maxDrafts > 0
    running.propose(wants ? this.#proposer.propose(request, maxDrafts) : [])
  }

  /**
   * Once per step that was decided, in the same order.
   * @param accepted [requests.length]
   * @param ms that the step took
   */
  observe(requests: readonly ScheduledRequest[], accepted: readonly number[], ms: number): void {
    if (!this.adaptive) return
    let prefillRows = 0
    let draftPasses = 0
    let catchUpRows = 0
    const verified = []
    for (const [index, { running, prefill, n, k, m, catchUp }] of requests.entries()) {
      catchUpRows += catchUp
      draftPasses = Math.max(draftPasses, m)
      if (prefill) prefillRows += n
      else verified.push({ id: running.request.id, k, accepted: accepted[index] ?? 0 })
    }
    this.#policy.observe({
      requests: verified,
      prefillRows,
      draftPasses,
      catchUpRows,
      kvPassRows: kvPassRows(requests),
      ms,
    })
  }

  /** A request ended. */
  forget(id: number): void {
    this.#policy.forget(id)
    this.#proposer?.forget(id)
  }

  #drafting(running: readonly RunningRequest[]): DraftingRequest[] {
    const drafting: DraftingRequest[] = []
    for (const one of running) {
      if (!one.decodeReady || !one.wantsRows) continue
      const { id } = one.request
      if (this.#proposer) drafting.push({ id, limit: one.usableDrafts, lag: 0 })
      else drafting.push({ id, limit: this.#limit(one), lag: one.drafterLag })
    }
    return drafting
  }

  /** Drafts that the device could propose for a request with use. */
  #limit({ request, maxUsefulDrafts }: RunningRequest): number {
    return Math.min(request.spec.maxDrafts ?? this.#most, maxUsefulDrafts)
  }
}

function limitOf(id: number, { k, fewer }: DraftDecision): number {
  return fewer.size === 0 ? k : Math.min(k, fewer.get(id) ?? k)
}
