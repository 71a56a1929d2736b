/**
 * Chooses how many drafts a step proposes for each request, so that speculation is used where it pays and costs next to nothing
 * where it does not: the number with the most tokens per millisecond by what was measured, 0 included. It sees counts and times
 * that are handed in and draws no random numbers: the same situations and steps in the same order bring the same decisions, so a
 * trace can be replayed. It must never know a scheduler, a plan or a clock.
 */

import type { DraftReason } from '../../protocol/speculation.ts'
import { at } from '../../util/math.ts'
import { AcceptanceEstimate } from './acceptanceEstimate.ts'
import { DraftChances } from './draftChances.ts'
import { DraftForecast, type ForecastSetup, type Knowledge, NOBODY } from './draftForecast.ts'
import { DraftLedgers } from './draftLedgers.ts'
import type { DraftDecision, DraftedStep, DraftPolicy, DraftSituation } from './draftPolicy.ts'
import { HeldDrafts, MARGIN } from './heldDrafts.ts'
import type { Probe } from './probe.ts'
import { type ProbeProspect, ProbeSchedule } from './probeSchedule.ts'
import { type StepSize, StepTimes } from './stepTimes.ts'

/** A decision whose drafts were not verified yet. */
interface Proposal {
  /** whether it was decided beside prompts */
  readonly beside: boolean
  readonly probe: Probe | undefined
  /** tokens per millisecond that are better than what was held */
  readonly worth: number
}

const NO_PROBE = { probe: undefined, worth: 0 }

export class DraftController implements DraftPolicy {
  readonly #knowledge: Knowledge
  readonly #ledgers = new DraftLedgers()
  readonly #held = new HeldDrafts()
  readonly #probes: ProbeSchedule
  /** oldest first: of the first the drafts are verified in the step that is observed next */
  readonly #proposals: Proposal[] = []

  constructor(setup: ForecastSetup) {
    const { numSpeculativeTokens, verifiedAtOnce } = setup
    this.#knowledge = {
      setup,
      times: new StepTimes(numSpeculativeTokens),
      acceptance: new AcceptanceEstimate(numSpeculativeTokens),
      chances: new DraftChances(numSpeculativeTokens),
    }
    // Of drafts that are verified a step later the first step has the passes alone, and the next the rows as well.
    this.#probes = new ProbeSchedule(verifiedAtOnce ? 1 : 2)
    if (!verifiedAtOnce) this.#proposals.push({ ...NO_PROBE, beside: false })
  }

  decide(situation: DraftSituation): DraftDecision {
    const { times, chances, acceptance } = this.#knowledge
    const decoding = situation.requests.length
    const beside = situation.prefillRows > 0
    if (decoding === 0) return this.#propose(this.#held.k, 'hold', beside)
    const base = times.base(decoding)
    if (base === undefined || !times.knows(decoding, situation.prefillRows)) return this.#propose(0, 'warm-up', beside)
    if (this.#ledgers.owe(beside)) {
      if (this.#held.drop()) this.#probes.restart()
      return this.#propose(0, 'debt', beside)
    }
    chances.fill(situation.requests, acceptance)
    const forecast = new DraftForecast(situation, base, this.#knowledge)
    if (this.#held.weigh(forecast.outlooks, forecast.reach)) this.#probes.restart()
    return this.#choose(forecast, beside)
  }

  observe({ requests, ...step }: DraftedStep): void {
    const { times, acceptance } = this.#knowledge
    const decoding = requests.length
    let draftRows = 0
    let tokens = decoding
    for (const { k, accepted } of requests) {
      draftRows += k
      tokens += accepted
    }
    const size: StepSize = { ...step, decoding, draftRows }
    const first = !times.ran(size)
    times.observe(size, step.ms)
    acceptance.observe(requests)
    const proposal = this.#proposals.shift()
    const base = times.base(decoding)
    if (decoding === 0 || base === undefined) return
    // As the times are understood now: a stray one is not booked.
    const spent = base + times.added(size)
    // The first step of a size may have paid for warming up, and what drafts save is not known before a step without them ran.
    if (!first && times.measured(decoding)) {
      if (size.prefillRows === 0) this.#ledgers.book(base, spent, tokens / decoding)
      else this.#ledgers.bookBeside(base, spent, tokens / decoding, proposal?.beside === true)
    }
    if (proposal?.probe !== undefined) this.#probes.judge(proposal.probe, tokens - proposal.worth * spent)
  }

  forget(id: number): void {
    this.#knowledge.acceptance.forget(id)
  }

  /** A probe if one is due, else what is held. */
  #choose(forecast: DraftForecast, beside: boolean): DraftDecision {
    const held = at(forecast.outlooks, this.#held.k)
    this.#probes.tick()
    // Beside prompts costs are guesses: that is no place to measure.
    let probe = beside ? undefined : this.#probes.next()
    const idle = !beside && this.#probes.idle
    if (!probe && (idle || held.k === 0)) {
      const hopes = forecast.hopesAbove(held.k, held.goodput * (1 + MARGIN))
      if (hopes.length === 0 && held.k === 0) return this.#propose(0, 'off', beside, forecast)
      if (idle) probe = this.#begin(forecast, hopes)
    }
    if (probe) return this.#propose(probe.k, 'probe', beside, forecast, { probe, worth: held.goodput * (1 + MARGIN) })
    return this.#propose(Math.min(held.k, forecast.reach), this.#held.leads ? 'best' : 'hold', beside, forecast)
  }

  #begin(forecast: DraftForecast, hopes: readonly number[]): Probe | undefined {
    const { outlooks, reach, scale } = forecast
    const held = at(outlooks, this.#held.k)
    const candidates = hopes.filter((k) => k <= reach)
    for (let k = 0; k < held.k; k++) candidates.push(k)
    const rumour = candidates.find((k) => forecast.rumoured(k))
    if (rumour !== undefined) return this.#probes.check(rumour)
    const prospectOf = (k: number): ProbeProspect => {
      const { ms, tokens } = at(outlooks, k)
      const loss = (held.goodput * ms - tokens) / held.tokens
      return { loss, affordable: this.#ledgers.afford(ms - scale.base) }
    }
    // Of fewer drafts the next number and none: their times may have changed unseen.
    const turns = candidates.filter((k) => k === 0 || k >= held.k - 1)
    const turn = this.#probes.due ? this.#probes.explore(turns, prospectOf) : undefined
    if (turn) return turn
    const promising = forecast.promising(candidates, held.goodput * (1 + MARGIN))
    return promising === undefined ? undefined : this.#probes.pursue(promising, prospectOf(promising))
  }

  #propose(
    k: number,
    reason: DraftReason,
    beside: boolean,
    forecast?: DraftForecast,
    proposal: Omit<Proposal, 'beside'> = NO_PROBE,
  ): DraftDecision {
    this.#proposals.push({ ...proposal, beside })
    return {
      k,
      reason,
      fewer: forecast?.fewer(k) ?? NOBODY,
      goodput: forecast?.outlooks.map(({ goodput }) => goodput) ?? [],
      balance: this.#ledgers.balance(beside),
    }
  }
}
