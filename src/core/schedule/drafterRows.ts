/**
 * Gives out the rows of the drafter's KV pass, at most B in a step, like those of the target model. First the rows that requests
 * have in this step, if the drafter has the K and V of all rows before them; with the rest it catches up on rows of earlier steps,
 * whose hidden states the device keeps. So a drafter costs nothing while no request drafts. It must never know why it drafts.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import type { KvCacheManager } from '../kv/kvCacheManager.ts'
import type { DraftDecision } from '../speculation/draftPolicy.ts'
import type { Speculation } from '../speculation/speculation.ts'
import type { Share } from './stepAllocation.ts'

interface DrafterState {
  readonly options: Pick<EngineOptions, 'maxNumBatchedTokens'>
  readonly speculation: Speculation
  readonly kv: KvCacheManager
}

/** Once per step, after all other rows. A request whose rows the drafter cannot cover in this step proposes nothing. */
export function allocateDrafterRows(shares: readonly Share[], decision: DraftDecision, state: DrafterState): void {
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
    // A shared block may have been covered for another request by now.
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
