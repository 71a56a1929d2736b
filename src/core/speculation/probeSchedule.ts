/**
 * When to try another number of drafts than the one that seems best, and for how long: at once what might well be better, now and
 * then whatever could have become so. All of it is paid from a small part of the tokens, and the less is found the less is tried.
 * It must never know what was measured.
 */

import { Probe } from './probe.ts'
import { Savings } from './savings.ts'

/** The parts of the tokens that probes may cost by what was measured: of what may well be better, and of all others in turns. */
const PURSUIT = 0.006
const CURIOSITY = 0.002

/** The part of the savings that one turn may cost. */
const TURN_SHARE = 1 / 8

/** What a step of a probe costs at least, as a part of its tokens: what looks free is not tried all the time. */
const LEAST_LOSS = 0.045

/** Odds that are fair: a pursuit may lose half of what it hopes to gain. With worse ones it costs the savings more. */
const FAIR_ODDS = 2

/** Steps between two probes of what promises nothing, at first and at most. */
const SHORTEST_WAIT = 16
export const LONGEST_WAIT = 256

/** Steps of a probe at most: by then the estimates have followed. */
const LONGEST_PROBE = 16

/** Steps of a probe without drafts that shows whether they are worth it: the first may still verify some. */
const PROOF_STEPS = 5

/** What a step of a probe is expected to cost. */
export interface ProbeProspect {
  /** tokens that it brings less than the step would without it, as a part of these */
  readonly loss: number
  /** what is lost before the first, in steps' worth of tokens */
  readonly start: number
  /** steps that the ledger bears */
  readonly affordable: number
}

/** Of steps with so many requests; what is tried with few is not paid by steps with many. */
interface Purses {
  readonly pursuits: Savings
  readonly turns: Savings
}

export class ProbeSchedule {
  /** steps of a probe at least: fewer measure nothing */
  readonly #shortest: number
  /** the one under way, or the last */
  #probe: Probe | undefined
  /** whether that one paid, so that it goes on for longer */
  #paid = false
  /** by the magnitude of the number of requests */
  readonly #purses: Purses[] = []
  /** of the present magnitude */
  #saved = purses()
  /** what the probe was paid from */
  #payer: Savings | undefined
  #waited = 0
  #wait = SHORTEST_WAIT
  /** whose turn it is */
  #turn = 0

  constructor(shortest: number) {
    this.#shortest = shortest
  }

  /** One decision passes. @param decoding its requests, at least one */
  tick(decoding: number): void {
    this.#saved = this.#purses[31 - Math.clz32(decoding)] ??= purses()
    this.#saved.pursuits.tick()
    this.#saved.turns.tick()
    this.#waited++
  }

  /** The probe that the next step may belong to; undefined where none is under way. */
  get current(): Probe | undefined {
    return this.#probe?.undecided ? this.#probe : undefined
  }

  /** Whether another may begin. */
  get idle(): boolean {
    if (this.#paid) return true
    return !this.#probe?.open && this.#waited >= (this.#probe?.length ?? 0)
  }

  /** Whether one may begin of what promises nothing. */
  get due(): boolean {
    return this.#paid || this.#waited >= this.#wait
  }

  /**
   * Begins a probe of what was measured once, whatever its steps cost: it may have been a stray.
   * @param start as of a prospect
   * @returns undefined where that cannot be afforded
   */
  check(k: number, start: number): Probe | undefined {
    const { pursuits } = this.#saved
    if (start > Math.max(0, pursuits.balance)) return undefined
    pursuits.pay(start)
    return this.#begin(new Probe(k, true, this.#shortest, LEAST_LOSS), pursuits)
  }

  /** Begins a probe without drafts, to hold them against it. */
  prove(): Probe {
    return this.#begin(new Probe(0, true, PROOF_STEPS, LEAST_LOSS), this.#saved.pursuits)
  }

  /**
   * Begins a probe of what may well be better.
   * @param gain what it brings with luck, as a part of what is held
   * @returns undefined where it cannot be afforded
   */
  pursue(k: number, gain: number, prospect: ProbeProspect): Probe | undefined {
    const dear = Math.max(1, (FAIR_ODDS * prospect.loss) / gain)
    const priced = { ...prospect, loss: dear * prospect.loss, start: dear * prospect.start }
    const { pursuits } = this.#saved
    const steps = this.#affordable(pursuits.balance, 1, priced)
    if (steps === 0) return undefined
    const price = priceOf(prospect)
    // Bad odds cost more than what is lost, and that is not given back.
    pursuits.pay(priced.start + (priceOf(priced) - price) * steps)
    return this.#begin(new Probe(k, true, steps, price), pursuits)
  }

  /**
   * Begins a probe of the same drafts as the last if that one paid, and for twice as long, else of the candidates in turns.
   * @returns undefined where it cannot be afforded
   */
  explore(candidates: readonly number[], prospectOf: (k: number) => ProbeProspect): Probe | undefined {
    const last = this.#paid ? this.#probe : undefined
    this.#paid = false
    if (last && candidates.includes(last.k)) {
      const prospect = prospectOf(last.k)
      return this.#turnTo(last.k, prospect, Math.min(2 * last.length, prospect.affordable))
    }
    // What cannot be afforded must not keep others from their turn.
    const k = candidates[this.#turn++ % candidates.length]
    if (k === undefined) return undefined
    const prospect = prospectOf(k)
    return this.#turnTo(k, prospect, this.#affordable(this.#saved.turns.balance, TURN_SHARE, prospect))
  }

  /** Judges a step of a probe. @param surplus tokens beyond those that its time was worth, as a part of those without drafts */
  judge(probe: Probe, surplus: number): void {
    probe.judge(surplus)
    if (probe !== this.#probe || probe.open) return
    this.#payer?.settle(probe.surplus + probe.price * probe.length)
    this.#waited = 0
    if (probe.promising) return
    this.#paid = probe.surplus > 0 && probe.length < LONGEST_PROBE
    if (!this.#paid) this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT)
  }

  /** Ends the probe: what it was to cost is no longer there. */
  abandon(): void {
    if (!this.#probe?.undecided) return
    this.#probe = undefined
    this.#paid = false
    this.#waited = 0
  }

  /** Ends the probe and what was learnt about probing: something changed. */
  restart(): void {
    this.#probe = undefined
    this.#paid = false
    this.#waited = 0
    this.#wait = SHORTEST_WAIT
  }

  /** Steps of a probe that a share of the savings pays for, or else the fewest that all of them do; 0 where these do not either. */
  #affordable(saved: number, share: number, prospect: ProbeProspect): number {
    const price = priceOf(prospect)
    // Who has to catch up first tries for as long as that took: it is paid but once.
    const least = Math.min(Math.max(this.#shortest, Math.ceil(prospect.start / price)), LONGEST_PROBE)
    if (prospect.affordable < least || prospect.start + price * least > saved) return 0
    const steps = Math.max(Math.floor((share * saved - prospect.start) / price), least)
    return Math.min(steps, LONGEST_PROBE, prospect.affordable)
  }

  #turnTo(k: number, prospect: ProbeProspect, steps: number): Probe | undefined {
    if (steps < this.#shortest) return undefined
    const { turns } = this.#saved
    turns.pay(prospect.start)
    return this.#begin(new Probe(k, false, Math.min(steps, LONGEST_PROBE), priceOf(prospect)), turns)
  }

  #begin(probe: Probe, payer: Savings): Probe {
    payer.pay(probe.price * probe.length)
    this.#probe = probe
    this.#payer = payer
    return probe
  }
}

function purses(): Purses {
  return { pursuits: new Savings(PURSUIT), turns: new Savings(CURIOSITY) }
}

function priceOf({ loss }: ProbeProspect): number {
  return Math.max(loss, LEAST_LOSS)
}
