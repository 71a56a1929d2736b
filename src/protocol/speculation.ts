/** Speculation as it is reported: how many drafts a step was given and why, and what came of all drafts. Plain data, no behaviour. */

/**
 * Why the step has this many drafts. `best`: no other number has a better goodput. `hold`: another one has, but k does not rise beside prompts; or
 * no request decodes. `probe`: tried in order to measure. `catch-up`: none, because the drafter first processes tokens that it missed.
 * `warm-up`: steps without drafts are measured first. `off`: drafts would lose even if all were accepted. `fixed`: not chosen.
 */
export type DraftReason = 'best' | 'hold' | 'probe' | 'catch-up' | 'warm-up' | 'off' | 'fixed'

/** How many drafts a request may have in a step, and why so many. */
export interface DraftChoice {
  readonly k: number
  readonly reason: DraftReason
}

/** What came of the drafts of all requests since the engine was loaded. Positions count from 1 to `numSpeculativeTokens`. */
export interface SpeculationStats {
  /** drafts proposed, by the model's head or from the text; more than were verified, because some find no room or no use */
  readonly proposed: number
  /** drafts verified, by their position behind the base row */
  readonly verified: readonly number[] // [numSpeculativeTokens]
  /** those of them that were right, whether or not a stop cut them off an answer afterwards */
  readonly accepted: readonly number[] // [numSpeculativeTokens]
  /**
   * Tokens that a verification commits in the mean: 1 + accepted drafts over verifications of at least one draft. vLLM's mean
   * acceptance length. 0 before the first verification.
   */
  readonly meanAcceptedLength: number
  /** milliseconds that the target model took on the GPU, drafts' rows among its others; undefined where no step was timed */
  readonly targetMs?: number
  /** milliseconds that the drafter took on the GPU; undefined where no step was timed */
  readonly draftMs?: number
}
