/** The laws of preemption: who may be chosen while others run, and what the choice is said to cost. */

import { BLOCK_SIZE } from '../../src/core/cost.ts'
import type { Victim } from '../../src/core/schedule/schedulerOutput.ts'
import { MAX_PREEMPTIONS } from '../../src/core/schedule/victim.ts'
import { assert } from '../../src/util/math.ts'
import type { BlastCoverage } from './blastCoverage.ts'
import type { BlastLedger } from './blastLedger.ts'
import type { BlastRequest } from './blastRequest.ts'

interface Candidate {
  readonly request: BlastRequest
  /** blocks that come free */
  readonly freed: number
  /** tokens to recompute */
  readonly lost: number
}

/**
 * @param victim as the core reports it
 * @param running those that ran when it was chosen, the victim among them, in scheduling order
 */
export function checkVictim(
  victim: Victim,
  running: readonly BlastRequest[],
  ledger: BlastLedger,
  coverage: BlastCoverage,
): void {
  const { id } = victim.request
  const [first] = running
  const spared = first && first.preemptions >= MAX_PREEMPTIONS ? first : undefined
  if (spared) coverage.count('immuneSpares')
  const candidates = running.filter((request) => request !== spared).map((request) => candidateOf(request, ledger))
  const chosen = candidates.find(({ request }) => request.spec.id === id)
  assert(chosen, `request ${id} runs and is not spared`)
  assert(chosen.freed === victim.freedBlocks, `request ${id} frees ${chosen.freed} blocks`)
  assert(chosen.lost === victim.tokensToRecompute, `request ${id} loses ${chosen.lost} tokens`)
  for (const other of candidates) {
    assert(!isBetter(other, chosen), `request ${other.request.spec.id} should have gone before request ${id}`)
  }
}

function candidateOf(request: BlastRequest, ledger: BlastLedger): Candidate {
  const { spell, spec } = request
  assert(spell, `request ${spec.id} runs`)
  const { blocks } = ledger.table(spell.generation)
  const freed = ledger.alone(spell.generation)
  return { request, freed, lost: Math.max(0, spell.computed - (blocks.length - freed) * BLOCK_SIZE) }
}

/** Whether `a` is the better victim: it frees something, matters less, loses less, came later. */
function isBetter(a: Candidate, b: Candidate): boolean {
  if (a.freed === 0 || b.freed === 0) {
    if (a.freed !== b.freed) return a.freed > 0
  }
  if (a.request.priority !== b.request.priority) return a.request.priority > b.request.priority
  const lost = a.lost - b.lost
  return lost !== 0 ? lost < 0 : b.request.before(a.request)
}
