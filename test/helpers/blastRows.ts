/** The laws of a step's rows, from the oracle's requests as they were before the step. */

import type { ScheduledRequest, SchedulerOutput } from '../../src/core/schedule/schedulerOutput.ts'
import type { PlannedRequest, StepPlan } from '../../src/core/stepPlan.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { assert, cdiv } from '../../src/util/math.ts'
import type { BlastCoverage } from './blastCoverage.ts'
import type { BlastRequest, BlastSpell } from './blastRequest.ts'

/** A running request, and what it got. */
interface Dealt {
  readonly request: BlastRequest
  readonly spell: BlastSpell
  readonly share: ScheduledRequest | undefined
  /** drafts that it could verify */
  readonly usable: number
}

/** @param running whoever runs once the step is planned, as it was before it */
export function checkRows(
  output: SchedulerOutput,
  plan: StepPlan,
  running: readonly BlastRequest[],
  options: EngineOptions,
  coverage: BlastCoverage,
): void {
  checkTotals(output, plan, options)
  const shares = new Map(output.requests.map((share) => [share.running.request.id, share]))
  assert(shares.size === output.requests.length, 'a request has one share')
  const dealt: Dealt[] = []
  for (const request of running) {
    const { spell, spec, tokens } = request
    assert(spell, `request ${spec.id} runs`)
    const room = spec.maxTotal - tokens.length - spell.tokens
    const share = shares.get(spec.id)
    const wants = spell.decodes && room > 0
    dealt.push({ request, spell, share, usable: wants ? Math.max(0, Math.min(spell.proposed, room - 1)) : 0 })
    shares.delete(spec.id)
    if (wants) assert(share && !share.prefill, `request ${spec.id} decodes and has its base row`)
    else if (spell.decodes) assert(!share, `request ${spec.id} can get no more tokens`)
  }
  assert(shares.size === 0, 'whoever has rows runs')
  for (const { share, ...one } of dealt) if (share) checkShare({ share, ...one }, share, options)
  checkFairness(dealt, output.step, coverage)
  checkPrefills(output, dealt, options, coverage)
}

function checkTotals({ rows, requests }: SchedulerOutput, plan: StepPlan, options: EngineOptions): void {
  const { maxNumBatchedTokens, maxNumSeqs, speculative } = options
  const sum = (count: (one: PlannedRequest) => number): number =>
    plan.requests.reduce((all, one) => all + count(one), 0)
  const all = sum(({ n }) => n)
  const sampled = sum(({ samples, k }) => (samples ? k + 1 : 0))
  const most = Math.min(maxNumBatchedTokens, maxNumSeqs * (1 + (speculative?.numSpeculativeTokens ?? 0)))
  assert(all <= maxNumBatchedTokens, `${all} rows, B is ${maxNumBatchedTokens}`)
  assert(rows.base + rows.draft + rows.prefill === all && rows.charged === all, `${all} rows are charged`)
  assert(plan.rows === all && plan.sampledRows === sampled && rows.sampled === sampled, 'the plan counts its rows')
  assert(rows.draft === sum(({ k }) => k), 'draft rows are the drafts verified')
  assert(rows.prefill === sum(({ ids }) => ids?.length ?? 0), 'prefill rows are the ids of chunks')
  assert(sampled <= most, `${sampled} sampled rows, R is ${most}`)
  assert(sum(({ m }) => (m > 0 ? 1 : 0)) <= maxNumSeqs && requests.length <= maxNumSeqs, 'a request per table row')
}

function checkShare({ request, spell, usable }: Dealt, share: ScheduledRequest, options: EngineOptions): void {
  const { id, maxTotal } = request.spec
  const { n, k, m, samples, prefill, firstPosition, shortage } = share
  assert(share.running.generation === spell.generation, `request ${id} is of the generation that was admitted`)
  assert(firstPosition === spell.computed + spell.rows, `request ${id} goes on where its rows in flight end at most`)
  assert(n >= 1 && firstPosition + n <= maxTotal, `request ${id}: ${n} rows within its length limit`)
  assert(m >= 0 && m <= (options.speculative?.numSpeculativeTokens ?? 0), `request ${id} proposes ${m}`)
  assert(samples || m === 0, `request ${id} drafts after a sampled row alone`)
  if (!prefill) {
    assert(samples && n === 1 + k && k <= usable, `request ${id}: ${n} rows, ${k} drafts of ${usable}`)
    assert(k === usable || shortage, `request ${id} lacks drafts for a reason`)
    return
  }
  const wanted = spell.prefillRemaining
  const { longPrefillTokenThreshold: threshold } = options
  assert(k === 0 && n <= wanted && samples === (n === wanted), `request ${id}: a chunk of ${n} of ${wanted}`)
  assert(threshold === 0 || n <= threshold, `request ${id}: a chunk of ${n} at longPrefillTokenThreshold ${threshold}`)
  assert(n === wanted || shortage, `request ${id} lacks prefill rows for a reason`)
}

/**
 * Drafts are dealt in rounds: where rows are short nobody gets two more than another who could use them, nor one more if its turn
 * comes later. The first turn is another's in every step.
 */
function checkFairness(dealt: readonly Dealt[], step: number, coverage: BlastCoverage): void {
  const decoding = dealt.filter(({ share }) => share && !share.prefill)
  const turnOf = (place: number): number => (place + decoding.length - (step % decoding.length)) % decoding.length
  const most = Math.max(0, ...dealt.map(({ share }) => share?.k ?? 0))
  for (const [place, { request, share, usable }] of decoding.entries()) {
    if (!share || share.k === usable) continue
    if (share.shortage === 'blocks') coverage.count('shortOfBlocks')
    if (share.shortage !== 'rows') continue
    coverage.count('draftsShortOfRows')
    assert(share.k >= most - 1, `request ${request.spec.id} got ${share.k} drafts, another ${most}`)
    for (const [other, { share: others }] of decoding.entries()) {
      const inTurn = turnOf(other) < turnOf(place) || (others?.k ?? 0) <= share.k
      assert(inTurn, `request ${request.spec.id} got its drafts in turn`)
    }
  }
}

/** Prompts that run get what is set aside for them, and rows are short only when there are none. */
function checkPrefills(
  { rows, requests }: SchedulerOutput,
  dealt: readonly Dealt[],
  options: EngineOptions,
  coverage: BlastCoverage,
): void {
  const { maxNumBatchedTokens: B, longPrefillTokenThreshold: threshold, maxNumPartialPrefills } = options
  const prefills = requests.filter(({ prefill }) => prefill)
  if (prefills.some(({ shortage }) => shortage === 'rows')) {
    assert(rows.charged === B, `rows are short, but ${rows.charged} of ${B} run`)
  }
  for (const { shortage } of prefills) {
    if (shortage === 'threshold') coverage.count('cutByThreshold')
    if (shortage === 'blocks') coverage.count('shortOfBlocks')
  }
  const ran = dealt.filter(({ share }) => !share?.admitted)
  const wanted = ran.reduce((sum, { spell }) => sum + Math.min(spell.prefillRemaining, threshold || Infinity), 0)
  if (!prefills.some(({ shortage }) => shortage === 'blocks')) {
    const due = Math.min(wanted, cdiv(B, 4), B - rows.base)
    assert(rows.prefill >= due, `${rows.prefill} prefill rows, ${due} were set aside`)
  }
  const partial = dealt.filter(({ spell, share }) => spell.prefillRemaining > (share?.n ?? 0)).length
  assert(maxNumPartialPrefills === 0 || partial <= maxNumPartialPrefills, `${partial} prompts are under way`)
}
