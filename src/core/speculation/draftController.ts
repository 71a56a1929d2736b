/**
 * Chooses how many drafts a step proposes for each request, so that speculation is used where it pays and costs next to nothing
 * where it does not: the number with the most tokens per millisecond by what was measured, 0 included. It sees counts and times
 * that are handed in and draws no random numbers: the same situations and steps in the same order bring the same decisions, so a
 * trace can be replayed. It must never know a scheduler, a plan or a clock.
 */

import type { DraftReason } from '../../protocol/speculation.ts'
import { at } from '../../util/math.ts'
import { AcceptanceEstimate } from './acceptanceEstimate.ts'
import { CatchUpTime } from './catchUpTime.ts'
import { DraftChances } from './draftChances.ts'
import { DraftForecast, type ForecastSetup, type Knowledge, NOBODY } from './draftForecast.ts'
import { DraftLedgers } from './draftLedgers.ts'
import type { DraftDecision, DraftedStep, DraftPolicy, DraftSituation } from './draftPolicy.ts'
import { HeldDrafts, MARGIN } from './heldDrafts.ts'
import { PacedTimes } from './pacedTimes.ts'
import type { Probe } from './probe.ts'
import { type ProbeProspect, ProbeSchedule } from './probeSchedule.ts'
import { Rest } from './rest.ts'
import { type StepSize, StepTimes } from './stepTimes.ts'

/** A decision whose drafts were not verified yet. */
interface Proposal {
  /** whether it was decided beside prompts */
  readonly beside: boolean
  readonly probe: Probe | undefined
  /** tokens per millisecond that are better than what was held */
  readonly worth: number
}

/** Drafts that promise so many times as much as none are worth it in any spell. */
const BEYOND_DOUBT = 2

/** Reasons for no drafts that hold for more than one step. */
const LASTING: ReadonlySet<DraftReason> = new Set(['best', 'off', 'debt'])

const NO_PROBE = { probe: undefined, worth: 0 }

export class DraftController implements DraftPolicy {
  readonly #knowledge: Knowledge
  readonly #ledgers = new DraftLedgers()
  readonly #held = new HeldDrafts()
  readonly #probes: ProbeSchedule
  readonly #paced: PacedTimes
  readonly #rest = new Rest()
  /** whether a step proposed or verified drafts */
  #drafted = false
  /** steps that nothing was learnt from yet, oldest first */
  readonly #unread: DraftedStep[] = []
  /** oldest first: of the first the drafts are verified in the step that is learnt from next */
  readonly #proposals: Proposal[] = []

  constructor(setup: ForecastSetup) {
    const { numSpeculativeTokens, verifiedAtOnce } = setup
    const times = new StepTimes(numSpeculativeTokens)
    this.#paced = new PacedTimes(times)
    this.#knowledge = {
      setup,
      times,
      catchUp: new CatchUpTime(),
      acceptance: new AcceptanceEstimate(numSpeculativeTokens),
      chances: new DraftChances(numSpeculativeTokens),
    }
    // Of drafts that are verified a step later the first step has the passes alone, and the next the rows as well.
    this.#probes = new ProbeSchedule(verifiedAtOnce ? 1 : 2)
    if (!verifiedAtOnce) this.#proposals.push({ ...NO_PROBE, beside: false })
  }

  decide(situation: DraftSituation): DraftDecision {
    const decoding = situation.requests.length
    const beside = situation.prefillRows > 0
    const standing = this.#rest.take(decoding, beside)
    if (standing) {
      this.#probes.tick(decoding)
      this.#proposals.push({ ...NO_PROBE, beside })
      return standing
    }
    this.#read()
    const decision = this.#decideAnew(situation, decoding, beside)
    const nothing = decision.k === 0 && LASTING.has(decision.reason)
    if (nothing && this.#proposals.every(({ probe }) => !probe)) this.#rest.begin(decision)
    return decision
  }

  observe(step: DraftedStep): void {
    this.#unread.push(step)
    if (!this.#rest.lasts) this.#read()
  }

  forget(id: number): void {
    this.#read()
    this.#knowledge.acceptance.forget(id)
  }

  #decideAnew(situation: DraftSituation, decoding: number, beside: boolean): DraftDecision {
    const { times } = this.#knowledge
    if (decoding === 0) return this.#propose(this.#held.k, 'hold', beside)
    const base = times.base(decoding)
    if (base === undefined || !times.knows(decoding, situation.prefillRows)) return this.#propose(0, 'warm-up', beside)
    if (this.#ledgers.owe(beside)) {
      if (this.#held.drop()) this.#probes.restart()
      else this.#probes.abandon()
      return this.#propose(0, 'debt', beside)
    }
    return this.#look(situation, base)
  }

  #read(): void {
    for (const step of this.#unread) this.#learn(step)
    this.#unread.length = 0
  }

  /** Steps are learnt from in their order, each with the decision that it came of. */
  #learn({ requests, catchUpRows, kvPassRows, ...step }: DraftedStep): void {
    const { times, catchUp, acceptance } = this.#knowledge
    const decoding = requests.length
    let draftRows = 0
    let tokens = decoding
    for (const { k, accepted } of requests) {
      draftRows += k
      tokens += accepted
    }
    const size: StepSize = { ...step, decoding, draftRows }
    this.#drafted ||= draftRows + step.draftPasses > 0
    const first = !times.ran(size)
    const bare = draftRows + step.draftPasses + step.prefillRows === 0
    const probes = this.#proposals.slice(0, 2).some(({ probe }) => probe !== undefined)
    const ms = this.#paced.take(size, step.ms, catchUpRows === 0, probes)
    // Where drafts run, the rows of this step are in the time of its size.
    const lateRows = bare && catchUpRows > 0 ? kvPassRows : catchUpRows
    const caughtUp = catchUp.of(lateRows, decoding, times.base(decoding) ?? 0)
    // A time that is mostly catching up says little of the rest.
    const clear = catchUp.trusted && !bare && 2 * caughtUp < ms
    if (catchUpRows === 0 && !probes && times.known(size)) this.#paced.learnLate(size, step.ms)
    else if (catchUpRows === 0 || clear) times.observe(size, ms - caughtUp)
    if (draftRows > 0) acceptance.observe(requests)
    const proposal = this.#proposals.shift()
    const base = times.base(decoding)
    if (decoding === 0 || base === undefined) return
    if (catchUpRows > 0 && bare && times.measured(decoding)) catchUp.observe(lateRows, ms - base)
    // As the times are understood now: a stray one is not booked.
    const spent = base + times.added(size) + caughtUp
    // The first step of a size may have paid for warming up, and what drafts save is not known before a step without them ran.
    if (!first && times.measured(decoding)) {
      if (size.prefillRows === 0) this.#ledgers.book(base, spent, tokens / decoding)
      else this.#ledgers.bookBeside(base, spent, tokens / decoding, proposal?.beside === true)
    }
    if (proposal?.probe !== undefined) {
      this.#probes.judge(proposal.probe, (tokens - proposal.worth * spent) / decoding)
    }
  }

  /** Weighs what every number of drafts promises. */
  #look(situation: DraftSituation, base: number): DraftDecision {
    const { chances, acceptance } = this.#knowledge
    chances.fill(situation.requests, acceptance)
    const forecast = new DraftForecast(situation, base, this.#knowledge)
    const changed = this.#held.weigh(forecast.outlooks, forecast.reach, forecast.start / base)
    if (changed) this.#probes.restart()
    return this.#choose(forecast, situation.prefillRows > 0, changed)
  }

  /** A probe if one is due, else what is held. */
  #choose(forecast: DraftForecast, beside: boolean, changed: boolean): DraftDecision {
    const held = at(forecast.outlooks, this.#held.k)
    this.#probes.tick(forecast.scale.decoding)
    // Beside prompts costs are guesses: that is no place to measure.
    let probe = beside ? undefined : this.#probes.current
    const idle = !beside && this.#paced.settled && this.#probes.idle
    if (!probe && (idle || held.k === 0)) {
      const hopes = forecast.hopesAbove(held.k, held.goodput * (1 + MARGIN))
      if (hopes.length === 0 && held.k === 0) return this.#propose(0, 'off', beside, forecast)
      if (idle) probe = this.#begin(forecast, hopes)
    }
    const k = probe?.k ?? Math.min(held.k, forecast.reach)
    // A probe must not be spoilt by it; and at first it is done apart to measure it. Else nobody waits until all have caught up.
    const apart = held.k === 0 || (changed && !this.#knowledge.catchUp.trusted)
    if (apart && !beside && forecast.lags(k)) return this.#catchUp(k, beside, forecast)
    probe?.take()
    if (probe) return this.#propose(k, 'probe', beside, forecast, { probe, worth: held.goodput * (1 + MARGIN) })
    return this.#propose(k, this.#held.leads ? 'best' : 'hold', beside, forecast)
  }

  #begin(forecast: DraftForecast, hopes: readonly number[]): Probe | undefined {
    const { outlooks, reach, scale } = forecast
    const held = at(outlooks, this.#held.k)
    const candidates = hopes.filter((k) => k <= reach)
    for (let k = 0; k < held.k; k++) candidates.push(k)
    // What made drafts begin may have been measured while a spell ended.
    if (!this.#held.proven && this.#paced.comparable) {
      this.#held.proven = true
      if (held.goodput < BEYOND_DOUBT * at(outlooks, 0).goodput) return this.#probes.prove()
    }
    const rumour = candidates.find((k) => forecast.rumoured(k))
    // Whoever has drafts is followed already, and who comes new is caught up on whatever is tried.
    const startMs = held.k === 0 ? forecast.start : 0
    const start = startMs / scale.base
    const check = rumour === undefined ? undefined : this.#probes.check(rumour, start)
    if (check) return check
    const prospectOf = (k: number): ProbeProspect => {
      const { ms, tokens } = at(outlooks, k)
      const loss = (held.goodput * ms - tokens) / held.tokens
      return { loss, start, affordable: this.#ledgers.afford(ms - scale.base, startMs) }
    }
    // Of fewer drafts the next number and none: their times may have changed unseen.
    const turns = candidates.filter((k) => k === 0 || k >= held.k - 1)
    const turn = this.#probes.due ? this.#probes.explore(turns, prospectOf) : undefined
    if (turn) return turn
    const promising = forecast.promising(candidates, held.goodput * (1 + MARGIN))
    if (!promising) return undefined
    return this.#probes.pursue(promising.k, promising.goodput / held.goodput - 1, prospectOf(promising.k))
  }

  /** A step without drafts, for those that shall have them in the next. */
  #catchUp(k: number, beside: boolean, forecast: DraftForecast): DraftDecision {
    return { ...this.#propose(0, 'catch-up', beside, forecast), fewer: forecast.fewer(k), follow: true }
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
      // Nothing is known of drafts yet, and they will be tried soon: the first prompts are taken up while they run.
      follow: k > 0 || (beside && !this.#drafted),
      goodput: forecast?.outlooks.map(({ goodput }) => goodput) ?? [],
      balance: this.#ledgers.balance(beside),
    }
  }
}
