/**
 * Deals the rows of the drafter's KV pass: at most B of a step, like those of the target model. First the rows that requests have
 * in this step, as long as the drafter lacks nothing before them; with what is left it catches up on rows of earlier steps, whose
 * hidden states the device keeps. So a drafter costs nothing while nobody drafts. It must never know why it is to draft.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import type { KvCacheManager } from '../kv/kvCacheManager.ts'
import type { DraftDecision } from '../speculation/draftPolicy.ts'
import type { Speculation } from '../speculation/speculation.ts'
import type { Share } from './stepAllotment.ts'

interface DrafterState {
  readonly options: Pick<EngineOptions, 'maxNumBatchedTokens'>
  readonly speculation: Speculation
  readonly kv: KvCacheManager
}

/** Once per step, after everything else was dealt. Whom the drafter cannot follow in it proposes nothing. */
export function dealDrafterRows(shares: readonly Share[], decision: DraftDecision, state: DrafterState): void {
  const { options, speculation, kv } = state
  if (!decision.follow) return
  let rest = options.maxNumBatchedTokens
  const late: Share[] = []
  for (const share of shares) {
    const { running } = share
    if (!speculation.follows(running, decision)) continue
    if (running.drafterLag > 0) {
      // The tokens of rows in flight are not known yet.
      if (running.stepsInFlight === 0) late.push(share)
      else share.m = 0
      continue
    }
    share.follows = true
    rest -= share.n
  }
  for (const share of late) {
    const { running, n } = share
    // Whoever shares a block may have had it taken up by now.
    running.drafterReaches(kv.draftedTokens(running.request.id))
    const lag = running.drafterLag
    share.catchUpFrom = running.drafterFrom ?? 0
    share.catchUp = Math.max(0, Math.min(lag, rest))
    rest -= share.catchUp
    share.follows = share.catchUp === lag && n <= rest
    if (share.follows) rest -= n
    else share.m = 0
    kv.markDrafted(running.request.id, share.catchUpFrom + share.catchUp)
  }
}
