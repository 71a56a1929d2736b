/**
 * Chooses how many drafts a step proposes for each request, so that speculation is used where it pays and costs next to nothing
 * where it does not: the number with the most tokens per millisecond by what was measured, 0 included. It sees counts and times
 * that are handed in and draws no random numbers: the same situations and steps in the same order bring the same decisions, so a
 * trace can be replayed. It must never know a scheduler, a plan or a clock.
 */

import type { DraftReason } from '../../protocol/speculation.ts'
import { at } from '../../util/math.ts'
import { AcceptanceEstimate } from './acceptanceEstimate.ts'
import { DraftForecast, type ForecastSetup } from './draftForecast.ts'
import { DraftLedger } from './draftLedger.ts'
import type { DraftDecision, DraftedStep, DraftPolicy, DraftSituation } from './draftPolicy.ts'
import { HeldDrafts, MARGIN } from './heldDrafts.ts'
import { ProbeSchedule } from './probeSchedule.ts'
import { type StepSize, StepTimes } from './stepTimes.ts'

/** A decision whose drafts were not verified yet. */
interface Proposal {
  /** the number of the probe it belongs to */
  readonly probe: number | undefined
  /** expected tokens per millisecond of the drafts that were held */
  readonly held: number
}

const NO_PROBE: Proposal = { probe: undefined, held: 0 }

export class DraftController implements DraftPolicy {
  readonly #setup: ForecastSetup
  readonly #times: StepTimes
  readonly #acceptance: AcceptanceEstimate
  readonly #ledger = new DraftLedger()
  readonly #held = new HeldDrafts()
  readonly #probes = new ProbeSchedule()
  /** oldest first: of the first the drafts are verified in the step that is observed next */
  readonly #proposals: Proposal[] = []

  constructor(setup: ForecastSetup) {
    this.#setup = setup
    this.#times = new StepTimes(setup.numSpeculativeTokens)
    this.#acceptance = new AcceptanceEstimate(setup.numSpeculativeTokens)
    if (!setup.verifiedAtOnce) this.#proposals.push(NO_PROBE)
  }

  decide(situation: DraftSituation): DraftDecision {
    const decoding = situation.requests.length
    if (decoding === 0) return this.#propose(this.#held.k, 'hold')
    const base = this.#times.base(decoding)
    // Beside prompts a step without drafts cannot be measured, only guessed.
    if (base === undefined || (situation.prefillRows === 0 && !this.#times.knows(decoding))) {
      return this.#propose(0, 'warm-up')
    }
    if (this.#ledger.owes) {
      this.#held.drop()
      this.#probes.restart()
      return this.#propose(0, 'debt')
    }
    const forecast = new DraftForecast(this.#setup, situation, base, this.#times, this.#acceptance)
    if (this.#held.weigh(forecast.outlooks)) this.#probes.restart()
    return this.#choose(forecast)
  }

  observe({ requests, ...step }: DraftedStep): void {
    const decoding = requests.length
    let draftRows = 0
    let tokens = decoding
    for (const { k, accepted } of requests) {
      draftRows += k
      tokens += accepted
    }
    const size: StepSize = { ...step, decoding, draftRows }
    const first = !this.#times.ran(size)
    this.#times.observe(size, step.ms)
    this.#acceptance.observe(requests)
    const proposal = this.#proposals.shift()
    const base = this.#times.base(decoding)
    if (decoding === 0 || base === undefined) return
    // As the times are understood now: a stray one is not booked. Beside prompts they are a guess, which must not weigh too much.
    const added = this.#times.added(size)
    const spent = base + (size.prefillRows > 0 ? Math.min(added, base) : added)
    // The first step of a size may have paid for warming up.
    if (!first) this.#ledger.book((base * tokens) / decoding, spent, base * this.#setup.numSpeculativeTokens)
    if (proposal?.probe !== undefined) this.#probes.judge(proposal.probe, tokens - proposal.held * spent)
  }

  forget(id: number): void {
    this.#acceptance.forget(id)
  }

  /** A probe if one is due, else what is held. */
  #choose(forecast: DraftForecast): DraftDecision {
    const { base, outlooks } = forecast
    const held = at(outlooks, this.#held.k)
    const due = this.#probes.tick()
    if (due || held.k === 0) {
      const candidates = forecast.hopesAbove(held.k, held.goodput * (1 + MARGIN))
      if (candidates.length === 0 && held.k === 0) return this.#propose(0, 'off', forecast)
      // Of fewer drafts the next number and none: their times may have changed unseen.
      if (held.k > 1) candidates.push(held.k - 1)
      if (held.k > 0) candidates.push(0)
      if (due) {
        this.#probes.begin(candidates, (k) => ({
          loss: 1 - at(outlooks, k).goodput / held.goodput,
          affordable: this.#ledger.affords(at(outlooks, k).ms - base),
        }))
      }
    }
    const { number } = this.#probes
    const probed = this.#probes.take()
    if (probed !== undefined) return this.#propose(probed, 'probe', forecast, { probe: number, held: held.goodput })
    return this.#propose(held.k, this.#held.leads ? 'best' : 'hold', forecast)
  }

  #propose(k: number, reason: DraftReason, forecast?: DraftForecast, proposal = NO_PROBE): DraftDecision {
    this.#proposals.push(proposal)
    return {
      k,
      reason,
      fewer: forecast?.fewer(k) ?? new Map(),
      goodput: forecast?.outlooks.map(({ goodput }) => goodput) ?? [],
      balance: this.#ledger.balance,
    }
  }
}
