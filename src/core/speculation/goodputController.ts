/**
 * Chooses the number of drafts k of every step: the one with the highest goodput by what was measured, 0 included. The same
 * situations and steps in the same order bring the same decisions, so that a trace can be replayed. It must never know a
 * scheduler or a clock.
 */

import type { DraftReason } from '../../protocol/speculation.ts'
import { at, sum } from '../../util/math.ts'
import { AcceptanceRates } from './acceptanceRates.ts'
import { type DraftDecision, type DraftedStep, type DraftPolicy, type DraftSituation, decision } from './draftPolicy.ts'
import { estimateGoodput, type GoodputEstimate } from './goodput.ts'
import { ProbeSchedule } from './probeSchedule.ts'
import { StepTimeModel } from './stepTimeModel.ts'

/** Steps without drafts that are measured first. */
const WARM_UP_STEPS = 3
/** Goodput by which another k must be better before it is used, as a part. */
const MARGIN = 0.03

export interface GoodputSetup {
  readonly numSpeculativeTokens: number
  /** drafts are proposed on the host for the step that they are decided for, not by passes at the end of the one before */
  readonly verifiedAtOnce: boolean
}

export class GoodputController implements DraftPolicy {
  readonly #setup: GoodputSetup
  readonly #times = new StepTimeModel()
  readonly #rates: AcceptanceRates
  readonly #probes: ProbeSchedule
  /** the k in use */
  #k = 0
  #warmUpStepsLeft = WARM_UP_STEPS
  /** whether drafts were ever proposed or verified */
  #drafted = false

  constructor(setup: GoodputSetup) {
    this.#setup = setup
    this.#rates = new AcceptanceRates(setup.numSpeculativeTokens)
    this.#probes = new ProbeSchedule(setup.numSpeculativeTokens)
  }

  decide(situation: DraftSituation): DraftDecision {
    const decoding = situation.requests.length
    const besidePrompts = situation.prefillRows > 0
    // Before the first drafts the drafter's KV pass covers prompts, so that the first probe has nothing to catch up on.
    const runKvPass = besidePrompts && !this.#drafted
    if (decoding === 0) return decision(this.#k, 'hold', { runKvPass })
    if (this.#warmUpStepsLeft > 0) return decision(0, 'warm-up', { runKvPass })

    const { numSpeculativeTokens, verifiedAtOnce } = this.#setup
    const estimates = estimateGoodput(situation, numSpeculativeTokens, !verifiedAtOnce, this.#rates, this.#times)
    const goodput = estimates.map((estimate) => estimate.goodput)
    const reach = this.#reach(estimates, decoding)
    const choose = (k: number, reason: DraftReason, fewer = at(estimates, k).fewer) =>
      decision(k, reason, { fewer, goodput, runKvPass })
    const lagOf = (fewer: DraftDecision['fewer']) =>
      sum(situation.requests.map(({ id, lag }) => (fewer.get(id) === 0 ? 0 : lag)))

    const idle = this.#k === 0
    const best = goodput.indexOf(Math.max(...goodput.slice(0, reach + 1)))
    const better = at(goodput, best) > (1 + MARGIN) * at(goodput, Math.min(this.#k, reach))
    // The time of prefill rows is not modelled, so beside prompts k never rises and nothing is probed.
    const change = better && (best < this.#k || !besidePrompts)
    if (change) {
      this.#k = best
      this.#probes.reset()
    }
    const held = Math.min(this.#k, reach)
    if (besidePrompts) return choose(held, better && !change ? 'hold' : 'best')

    this.#probes.advance(estimates.slice(0, reach + 1), held, decoding, ({ fewer }) =>
      idle ? this.#times.predictCatchUp(lagOf(fewer)) : 0,
    )
    const probe = this.#probes.current
    const { k, fewer } = probe ?? { k: held, fewer: at(estimates, held).fewer }
    // No request drafts while the drafter catches up, so that the next step measures what its passes take.
    const waits = idle && k > 0 && lagOf(fewer) > 0 && (!probe || probe.catchUpStepsLeft-- > 0)
    if (waits) return { ...choose(k, 'catch-up', fewer), k: 0, runKvPass: true }
    if (!probe) return choose(k, k > 0 || this.#probes.hopeful ? 'best' : 'off')
    this.#probes.take(probe)
    return choose(k, 'probe', fewer)
  }

  observe({ requests, prefillRows, draftPasses, catchUpRows, kvPassRows, ms }: DraftedStep): void {
    const decoding = requests.length
    const draftRows = sum(requests.map(({ k }) => k))
    const drafts = draftRows + draftPasses > 0
    this.#drafted ||= drafts
    this.#rates.observe(requests)
    if (decoding === 0 || prefillRows > 0) return
    if (catchUpRows === 0) {
      this.#times.observe(decoding, draftRows, draftPasses, ms)
      this.#warmUpStepsLeft--
    } else if (!drafts) this.#times.observeCatchUp(decoding, kvPassRows, ms)
  }

  forget(id: number): void {
    this.#rates.forget(id)
  }

  /** The largest k whose rows were measured, or the next beyond: k rises step by step where times are not known. */
  #reach(estimates: readonly GoodputEstimate[], decoding: number): number {
    const unmeasured = estimates.findIndex(({ draftRows }) => !this.#times.reaches(decoding + draftRows))
    return unmeasured < 0 ? estimates.length - 1 : unmeasured
  }
}
