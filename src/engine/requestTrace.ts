/** What is remembered of a request for its answer: usage, and with the debug options its steps and logits. It decides nothing. */

import type { RequestOutput } from '../core/stepPlan.ts'
import { AcceptanceCounter } from '../metrics/acceptance.ts'
import { speculationUsage } from '../metrics/speculationUsage.ts'
import type { RequestDebug, RequestStep, Usage } from '../protocol/request.ts'
import { sum } from '../util/math.ts'

export interface DebugFlags {
  readonly logits: boolean
  readonly steps: boolean
}

export class RequestTrace {
  readonly #flags: DebugFlags
  readonly #logits: (string | Float32Array)[] = []
  readonly #steps: RequestStep[] = []
  /** of its first admission: what comes back after a preemption is its own */
  #cachedTokens: number | undefined
  readonly #drafts: AcceptanceCounter
  #proposed = 0
  #sampledSteps = 0

  constructor(flags: DebugFlags, numSpeculativeTokens: number) {
    this.#flags = flags
    this.#drafts = new AcceptanceCounter(numSpeculativeTokens)
  }

  admitted(cachedTokens: number): void {
    this.#cachedTokens ??= cachedTokens
  }

  /** @param at its committed tokens */
  preempted(at: number): void {
    if (this.#flags.steps) this.#steps.push({ at, verified: [], accepted: 0, proposed: [], preempted: true })
  }

  /** A step that sampled. @param at committed tokens before it. @param proposed drafts for the length it ended at */
  sampled(at: number, output: RequestOutput, proposed: readonly number[]): void {
    const { verified, accepted } = output
    this.#drafts.count(verified.length, accepted)
    this.#proposed += proposed.length
    this.#sampledSteps++
    if (this.#flags.steps) this.#steps.push({ at, verified, accepted, proposed })
    if (this.#flags.logits && output.logits) this.#logits.push(...output.logits)
  }

  /**
   * The answer ended inside the latest run of tokens: of `before` of them `kept` stay. Accepted drafts come first in a run, and
   * one that is cut off is not in the answer.
   */
  cut(accepted: number, before: number, kept: number): void {
    this.#drafts.cut(Math.min(accepted, before), Math.min(accepted, kept))
    this.#logits.splice(this.#logits.length - (before - kept))
  }

  /** Rejected are the verified drafts that are not in the answer. */
  usage(promptTokens: number, completionTokens: number): Usage {
    const { verified, accepted } = this.#drafts
    const kept = sum(accepted)
    const counts = {
      steps: this.#sampledSteps,
      proposed_tokens: this.#proposed,
      verified_by_position: verified,
      accepted_by_position: accepted,
    }
    return {
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
      prompt_tokens_details: { cached_tokens: this.#cachedTokens ?? 0 },
      completion_tokens_details: {
        accepted_prediction_tokens: kept,
        rejected_prediction_tokens: sum(verified) - kept,
      },
      ...(verified.length > 0 && { speculation: speculationUsage(counts, completionTokens) }),
    }
  }

  debug(): RequestDebug | undefined {
    if (!this.#flags.logits && !this.#flags.steps) return undefined
    return { logits: this.#logits, steps: this.#steps }
  }
}
