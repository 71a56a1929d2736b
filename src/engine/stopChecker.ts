/** Where a run of new tokens ends a request, as far as token ids and the length limit say. It must never know text. */

import type { FinishReason } from '../protocol/request.ts'

export interface TokenEnd {
  /** how many of the new ids are kept; the one that stops the request is the last of them */
  readonly keep: number
  readonly reason: FinishReason
}

/**
 * The first end among `ids`, or undefined. A stop id at the length limit is a stop.
 * @param room tokens the request may still take
 */
export function checkStop(ids: readonly number[], stopIds: ReadonlySet<number>, room: number): TokenEnd | undefined {
  const stop = ids.findIndex((id) => stopIds.has(id))
  if (stop >= 0 && stop < room) return { keep: stop + 1, reason: 'stop' }
  return ids.length >= room ? { keep: room, reason: 'length' } : undefined
}
