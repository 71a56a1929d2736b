/**
 * Which request is preempted when KV blocks run out: of those that own a block alone, the lowest priority; then the fewest tokens to
 * recompute; then the newest. The first request in order is spared once it was preempted often enough, so that it ends in bounded
 * time. It must never know which request needed the block.
 */

import { assert } from '../../util/math.ts'
import { BLOCK_SIZE } from '../cost.ts'
import type { KvCacheManager } from '../kv/kvCacheManager.ts'
import type { RunningRequest } from '../request.ts'
import type { Victim } from './schedulerOutput.ts'

/** P: once preempted so often, a request is not preempted again while it is the first of those that run. */
export const MAX_PREEMPTIONS = 3

export interface ChosenVictim extends Victim {
  readonly running: RunningRequest
}

/** @param running in the order of their standing; more than one, since one alone always finds its blocks */
export function chooseVictim(running: readonly RunningRequest[], kv: KvCacheManager): ChosenVictim {
  const [first, ...others] = running
  assert(first !== undefined && others.length > 0, 'one request alone always finds its blocks')
  const spared = first.request.standing.preemptions >= MAX_PREEMPTIONS
  const candidates = (spared ? others : running).map((one) => asVictim(one, kv))
  // The later one wins a tie. If no request owns a block alone, the newest is preempted, until one does.
  return candidates.reduce((best, next) => (losesMore(next, best) ? best : next))
}

/** Whether preempting `a` is worse than preempting `b`. */
function losesMore(a: ChosenVictim, b: ChosenVictim): boolean {
  if (a.freedBlocks > 0 !== b.freedBlocks > 0) return a.freedBlocks === 0
  const priorities = a.request.standing.priority - b.request.standing.priority
  if (priorities !== 0) return priorities < 0
  return a.lostTokens > b.lostTokens
}

function asVictim(running: RunningRequest, kv: KvCacheManager): ChosenVictim {
  const { request, computed } = running
  const freedBlocks = kv.exclusiveBlocks(request.id)
  const sharedBlocks = kv.table(request.id).length - freedBlocks
  return { running, request, freedBlocks, lostTokens: Math.max(0, computed - sharedBlocks * BLOCK_SIZE) }
}
