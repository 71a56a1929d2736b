/**
 * Chooses the request to preempt when KV blocks run out: among requests that hold an unshared block, the one of the lowest
 * priority, then with the fewest tokens to recompute, then the newest. The first running request is not preempted more than
 * MAX_PREEMPTIONS times, so that it ends in bounded time. It must never know which request asked for the block.
 */

import { assert } from '../../util/math.ts'
import { BLOCK_SIZE } from '../cost.ts'
import type { KvCacheManager } from '../kv/kvCacheManager.ts'
import type { RunningRequest } from '../request.ts'
import type { Victim } from './schedulerOutput.ts'

/** P: a request that was preempted so often is not preempted again while it is the first running request. */
export const MAX_PREEMPTIONS = 3

export interface ChosenVictim extends Victim {
  readonly running: RunningRequest
}

/** @param running in scheduling order; more than one, since one alone always finds its blocks */
export function chooseVictim(running: readonly RunningRequest[], kv: KvCacheManager): ChosenVictim {
  const [first, ...others] = running
  assert(first !== undefined && others.length > 0, 'one request alone always finds its blocks')
  const spared = first.request.schedulingState.preemptions >= MAX_PREEMPTIONS
  const candidates = (spared ? others : running).map((one) => asVictim(one, kv))
  // A tie goes to the later one. If every block is shared, preempting the newest leaves its blocks unshared for the next choice.
  return candidates.reduce((best, next) => (losesMore(next, best) ? best : next))
}

/** Whether preempting `a` is worse than preempting `b`. */
function losesMore(a: ChosenVictim, b: ChosenVictim): boolean {
  if (a.freedBlocks > 0 !== b.freedBlocks > 0) return a.freedBlocks === 0
  const priorities = a.request.schedulingState.priority - b.request.schedulingState.priority
  if (priorities !== 0) return priorities < 0
  return a.tokensToRecompute > b.tokensToRecompute
}

function asVictim(running: RunningRequest, kv: KvCacheManager): ChosenVictim {
  const { request, computed } = running
  const freedBlocks = kv.exclusiveBlocks(request.id)
  const sharedBlocks = kv.table(request.id).length - freedBlocks
  return { running, request, freedBlocks, tokensToRecompute: Math.max(0, computed - sharedBlocks * BLOCK_SIZE) }
}
