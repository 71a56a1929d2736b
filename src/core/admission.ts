/**
 * Which waiting requests may come in: in order of arrival, while a table row is free and the whole known sequence fits beside
 * what running prefills still need. Admitting on the first chunk alone would preempt and recompute without end.
 */

import { blocksNeeded } from './cost.ts'
import type { CachedPrefix, KvCacheManager } from './kvCacheManager.ts'
import type { Request, RunningRequest } from './request.ts'
import type { Share } from './stepAllotment.ts'

export interface Candidate {
  readonly request: Request
  readonly cached: CachedPrefix
  /** blocks that its known tokens need beside the cached ones */
  readonly blocks: number
}

/**
 * @param slots table rows to fill at most
 * @param room blocks the candidates may need together
 */
export function* admissible(
  waiting: Iterable<Request>,
  kv: KvCacheManager,
  slots: number,
  room: number,
): Generator<Candidate> {
  for (const request of waiting) {
    const cached = kv.findCached(request.tokens)
    const blocks = blocksNeeded(request.tokens.length) - cached.blocks.length
    room -= blocks
    if (slots-- <= 0 || room < 0) return
    yield { request, cached, blocks }
  }
}

/** Blocks that running prefills still need for the tokens they know, beside those their shares of this step hold. */
export function promisedBlocks(
  running: Iterable<RunningRequest>,
  kv: KvCacheManager,
  shares: readonly Share[],
): number {
  const held = new Map(shares.map((share) => [share.running, share.blocks]))
  let blocks = 0
  for (const one of running) {
    blocks += Math.max(0, kv.missing(one.request.id, one.prefillEnd) - (held.get(one) ?? 0))
  }
  return blocks
}
