/**
 * Allocates the rows of the drafter's KV pass, at most B per step like the target's rows. This step's rows of requests whose
 * drafter KV is complete come first; the rows left catch up on earlier steps, whose hidden states the device keeps. So the
 * drafter costs nothing while no request drafts. It must never know why drafts were decided on.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import type { KvCacheManager } from '../kv/kvCacheManager.ts'
import type { DraftDecision } from '../speculation/draftPolicy.ts'
import type { Speculation } from '../speculation/speculation.ts'
import type { RequestAllocation } from './stepAllocation.ts'

interface DrafterState {
  readonly options: Pick<EngineOptions, 'maxNumBatchedTokens'>
  readonly speculation: Speculation
  readonly kv: KvCacheManager
}

/** Once per step, after all other rows. A request whose drafter KV stays incomplete proposes no drafts. */
export function allocateKvPassRows(
  allocations: readonly RequestAllocation[],
  decision: DraftDecision,
  state: DrafterState,
): void {
  const { options, speculation, kv } = state
  if (!decision.runKvPass) return
  let rest = options.maxNumBatchedTokens
  const late: RequestAllocation[] = []
  for (const allocation of allocations) {
    const { running } = allocation
    if (!speculation.needsKvPass(running, decision)) continue
    if (running.drafterLag > 0) {
      // Catching up needs the tokens after the missed rows, which are unknown while steps are in flight.
      if (running.stepsInFlight === 0) late.push(allocation)
      else allocation.m = 0
      continue
    }
    allocation.inKvPass = true
    rest -= allocation.n
  }
  for (const allocation of late) {
    const { running, n } = allocation
    // Another request with the same block may have brought the drafter's K and V of it by now.
    running.drafterHasComputed(kv.drafterComputedTokens(running.request.id))
    const lag = running.drafterLag
    allocation.catchUpFrom = running.drafterMissingFrom ?? 0
    allocation.catchUp = Math.max(0, Math.min(lag, rest))
    rest -= allocation.catchUp
    allocation.inKvPass = allocation.catchUp === lag && n <= rest
    if (allocation.inKvPass) rest -= n
    else allocation.m = 0
    kv.markDrafterComputed(running.request.id, allocation.catchUpFrom + allocation.catchUp)
  }
}
