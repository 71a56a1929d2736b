import { assert } from '../../util/math.ts'

/** A few steps with another number of drafts, in order to measure it. It must never know why it was begun. */
export class Probe {
  /** its drafts */
  readonly k: number
  /** whether it might well be better, rather than that it was its turn */
  readonly promising: boolean
  /** its steps */
  readonly length: number
  /** what a step of it is expected to cost, as a part of its tokens */
  readonly price: number
  /** tokens it brought beyond what its time was worth, in steps' worth of those without drafts */
  surplus = 0
  #decided = 0
  #judged = 0

  constructor(k: number, promising: boolean, length: number, price: number) {
    this.k = k
    this.promising = promising
    this.length = length
    this.price = price
  }

  /** Whether steps of it are still to be decided or judged. */
  get open(): boolean {
    return this.#judged < this.length
  }

  /** Whether steps of it are still to be decided. */
  get undecided(): boolean {
    return this.#decided < this.length
  }

  /** Decides one of its steps. */
  take(): void {
    assert(this.undecided, 'a probe has steps left')
    this.#decided++
  }

  judge(surplus: number): void {
    this.#judged++
    this.surplus += surplus
  }
}
