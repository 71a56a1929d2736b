/** The laws of admission: what is kept for whom, and how much of the work is reported as found in the cache or done twice. */

import { BLOCK_SIZE, blocksNeeded } from '../../src/core/cost.ts'
import type { SchedulerOutput } from '../../src/core/schedule/schedulerOutput.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { assert } from '../../src/util/math.ts'
import type { BlastLedger } from './blastLedger.ts'
import type { BlastRequest } from './blastRequest.ts'
import type { BlastRoster } from './blastRoster.ts'

/** Waiting requests that one step looks past, at most. */
const MOST_PASSED = 8

/** Called when the oracle has taken in the step. */
export function checkAdmission(
  { requests, cachedTokens, recomputedTokens }: SchedulerOutput,
  roster: BlastRoster,
  ledger: BlastLedger,
  options: EngineOptions,
): void {
  let cached = 0
  let recomputed = 0
  for (const { running, admitted, prefill, firstPosition, n } of requests) {
    const { recomputeEnd } = roster.get(running.request.id)
    if (admitted) cached += firstPosition
    if (prefill) recomputed += Math.max(0, Math.min(firstPosition + n, recomputeEnd) - firstPosition)
  }
  assert(cachedTokens === cached, `${cached} tokens were found in the cache`)
  assert(recomputedTokens === recomputed, `${recomputed} tokens are computed again`)
  const admitted = requests.filter((share) => share.admitted).map((share) => roster.get(share.running.request.id))
  if (admitted.length > 0) checkRoom(admitted, roster, ledger, options)
}

/**
 * After an admission the tokens that running requests know still find their blocks, and the watermark stays free, but for what
 * those admitted took beyond their known tokens to propose drafts.
 */
function checkRoom(
  admitted: readonly BlastRequest[],
  { running, waiting }: BlastRoster,
  ledger: BlastLedger,
  options: EngineOptions,
): void {
  const surplus = (request: BlastRequest): number => {
    const { spell } = request
    return spell ? ledger.table(spell.generation).blocks.length - blocksNeeded(spell.prefillEnd) : 0
  }
  const prefills = running.filter(({ spell }) => spell && spell.prefillRemaining > 0)
  const promised = prefills.reduce((sum, request) => sum + Math.max(0, -surplus(request)), 0)
  const ahead = admitted.reduce((sum, request) => sum + Math.max(0, surplus(request)), 0)
  const { kvCacheTokens, watermark } = options
  const kept = running.length > 1 ? Math.floor((watermark * kvCacheTokens) / BLOCK_SIZE) : 0
  assert(
    promised + kept <= ledger.free + ahead,
    `${promised} blocks are promised and ${kept} kept, ${ledger.free} free`,
  )
  for (const request of admitted) {
    const passed = waiting.filter((other) => other.before(request)).length
    assert(passed <= MOST_PASSED, `request ${request.spec.id} passes ${passed} others at once`)
  }
}
