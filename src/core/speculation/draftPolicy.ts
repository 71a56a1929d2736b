/** What the scheduler asks about drafts, and what it tells of the steps that ran: plain data, and the policy that never changes. */

import type { DraftChoice, DraftReason } from '../../protocol/speculation.ts'
import type { VerifiedDrafts } from './acceptanceRates.ts'

/** A decode-ready request. */
export interface DraftingRequest {
  readonly id: number
  /** drafts it can use at most: by its length limit, and 0 where it does not want any */
  readonly limit: number
  /** computed tokens that the drafter must catch up on before it drafts */
  readonly lag: number
}

/** What a step will hold. */
export interface DraftSituation {
  readonly requests: readonly DraftingRequest[]
  /** rows of prompts that would run beside them without drafts. Prompts are not requests that draft. */
  readonly prefillRows: number
  /** rows that drafts may take at most */
  readonly draftRows: number
}

/** Drafts of a request at most, and why. */
export interface DraftDecision extends DraftChoice {
  /** requests that get fewer, by id */
  readonly fewer: ReadonlyMap<number, number>
  /** whether the drafter's KV pass runs for requests that may get drafts; without it no request drafts */
  readonly runKvPass: boolean
  /** expected tokens per millisecond by number of drafts; empty where nothing was estimated */
  readonly goodput: readonly number[]
}

/** What came of a step. */
export interface DraftedStep {
  /** its decoding requests, also those without drafts */
  readonly requests: readonly VerifiedDrafts[]
  readonly prefillRows: number
  /** draft passes: the most drafts proposed for one request; 0 where proposing takes no pass */
  readonly draftPasses: number
  /** rows of earlier steps that the drafter caught up on */
  readonly catchUpRows: number
  /** these and this step's rows in the drafter's KV pass */
  readonly kvPassRows: number
  /** milliseconds */
  readonly ms: number
}

export interface DraftPolicy {
  /** Once per step, before its rows are allocated. */
  decide(situation: DraftSituation): DraftDecision
  /** Once per decision, in the same order. */
  observe(step: DraftedStep): void
  /** A request ended. */
  forget(id: number): void
}

const NOBODY: ReadonlyMap<number, number> = new Map()

/** The KV pass of the drafter runs whenever k > 0; with `parts.runKvPass` also at k = 0. */
export function decision(k: number, reason: DraftReason, parts: Partial<DraftDecision> = {}): DraftDecision {
  return { k, reason, fewer: NOBODY, goodput: [], ...parts, runKvPass: k > 0 || parts.runKvPass === true }
}

/** The same number of drafts for every request, always. */
export function fixedDrafts(k: number): DraftPolicy {
  const fixed = decision(k, 'fixed')
  return { decide: () => fixed, observe: () => {}, forget: () => {} }
}
