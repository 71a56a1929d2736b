/**
 * When to try another number of drafts than the one that seems best, and for how long. A probe that pays is repeated at once and
 * for twice as many steps; one that does not makes the wait for the next twice as long, while that is more than it cost. It must
 * never know what was measured.
 */

/** Steps between two probes, at first and at most. */
const SHORTEST_WAIT = 16
export const LONGEST_WAIT = 256

/** Steps of a probe at most: by then the estimates have followed. */
const LONGEST_PROBE = 16

/** The part of the steps' tokens that probes may cost by what was measured. One step is always allowed. */
const CURIOSITY = 0.005

/** What a step of a probe is expected to cost. */
export interface ProbeProspect {
  /** tokens that it brings less than the step would without it, as a part of these */
  readonly loss: number
  /** steps that the ledger bears */
  readonly affordable: number
}

export class ProbeSchedule {
  /** counts probes: the number of the one that is under way or comes next */
  number = 0
  /** the drafts it tries; undefined before it begins */
  #k: number | undefined
  #wait = SHORTEST_WAIT
  #waited = 0
  #length = 1
  /** what one of its steps was expected to lose, as a part of what the step would bring otherwise */
  #loss = 0
  /** its steps that are still to be decided, and that were decided and not judged */
  #left = 0
  #open = 0
  /** tokens it brought beyond what its time was worth */
  #surplus = 0

  /** One decision passes. @returns whether a probe may begin */
  tick(): boolean {
    this.#waited++
    return this.#left + this.#open === 0 && (this.#k !== undefined || this.#waited >= this.#wait)
  }

  /**
   * Begins a probe: of the same drafts as the last if that one paid, else of the candidates in turns. It lasts as long as the time
   * since the last one allows: what is nearly as good is measured well, what is far worse hardly.
   */
  begin(candidates: readonly number[], prospect: (k: number) => ProbeProspect): void {
    const paid = this.#k !== undefined && candidates.includes(this.#k)
    const k = paid ? this.#k : candidates[this.number % candidates.length]
    this.#k = undefined
    if (k === undefined) return
    const { loss, affordable } = prospect(k)
    const cheap = loss > 0 ? Math.floor((this.#waited * CURIOSITY) / loss) : LONGEST_PROBE
    const steps = Math.min(Math.max(paid ? this.#length : 1, cheap), LONGEST_PROBE, affordable)
    if (steps < 1) {
      // What cannot be afforded must not keep others from their turn.
      this.number++
      return
    }
    this.#k = k
    this.#loss = loss
    this.#length = steps
    this.#left = steps
    this.#surplus = 0
  }

  /** The drafts of the probe under way, for one more step. */
  take(): number | undefined {
    if (this.#left === 0) return undefined
    this.#left--
    this.#open++
    return this.#k
  }

  /** Judges a step of a probe. @param surplus tokens beyond those that its time was worth */
  judge(number: number, surplus: number): void {
    if (number !== this.number) return
    this.#surplus += surplus
    this.#open--
    if (this.#open + this.#left > 0) return
    this.#waited = 0
    if (this.#surplus > 0) this.#length *= 2
    else this.#end(Math.min(2 * this.#wait, LONGEST_WAIT, this.#earned()))
  }

  /** Ends the probe and what was learnt about probing: something changed. */
  restart(): void {
    this.#waited = 0
    this.#end(SHORTEST_WAIT)
  }

  /** Steps after which the last probe has been paid for: what lost little may be tried again soon. */
  #earned(): number {
    return Math.max(SHORTEST_WAIT, Math.ceil((this.#length * this.#loss) / CURIOSITY))
  }

  #end(wait: number): void {
    this.#k = undefined
    this.#left = 0
    this.#open = 0
    this.#wait = wait
    this.number++
  }
}
