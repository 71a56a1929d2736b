/** What came of the drafts of all requests: counts by position, and the time they took. It decides nothing. */

import type { SpeculationStats } from '../protocol/speculation.ts'
import type { StepRecord } from '../protocol/stepRecord.ts'
import { AcceptanceCounter, meanAcceptedLength } from './acceptance.ts'

export class SpeculationMetrics {
  readonly #drafts: AcceptanceCounter
  #proposed = 0
  /** milliseconds on the GPU; undefined until a step was timed there */
  #times: { readonly target: number; readonly draft: number } | undefined

  constructor(numSpeculativeTokens: number) {
    this.#drafts = new AcceptanceCounter(numSpeculativeTokens)
  }

  /** One request's step: the first `accepted` of `verified` drafts were right. */
  verified(verified: number, accepted: number): void {
    this.#drafts.count(verified, accepted)
  }

  step({ proposedDrafts, ms: { gpu, draft } }: StepRecord): void {
    this.#proposed += proposedDrafts
    if (gpu === undefined || draft === undefined) return
    const before = this.#times ?? { target: 0, draft: 0 }
    this.#times = { target: before.target + gpu - draft, draft: before.draft + draft }
  }

  summary(): SpeculationStats {
    const { verified, accepted } = this.#drafts
    return {
      proposed: this.#proposed,
      verified,
      accepted,
      meanAcceptedLength: meanAcceptedLength(verified, accepted),
      ...(this.#times && { targetMs: this.#times.target, draftMs: this.#times.draft }),
    }
  }
}
