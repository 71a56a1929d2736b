/** The random numbers of a blast: all that happens in a run follows from one seed. It must never read anything else. */

/** 32 well-mixed bits of an integer: MurmurHash3's finaliser (Appleby, public domain). */
export function scramble(value: number): number {
  let h = value | 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export class BlastRandom {
  #state: number

  constructor(seed: number) {
    this.#state = scramble(seed + 0x3c6ef372)
  }

  /** An integer in 0…below - 1. */
  int(below: number): number {
    this.#state = (this.#state + 0x9e3779b9) | 0
    return scramble(this.#state) % below
  }

  /** An integer in least…most. */
  between(least: number, most: number): number {
    return least + this.int(most - least + 1)
  }

  /** True `parts` times in `whole`. */
  chance(parts: number, whole: number): boolean {
    return this.int(whole) < parts
  }

  /** One of them; undefined may be among them. */
  pick<T>(values: readonly T[]): T {
    return values[this.int(values.length)] as T
  }

  /** The same values in another order: every order is as likely (Fisher and Yates). */
  shuffled<T>(values: readonly T[]): T[] {
    const all = [...values]
    for (let i = all.length - 1; i > 0; i--) {
      const other = this.int(i + 1)
      const value = all[i] as T
      all[i] = all[other] as T
      all[other] = value
    }
    return all
  }
}
