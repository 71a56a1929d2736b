/**
 * A mean that remembers as long as what it remembers stays the same: all of a steady past, and only what followed a change. It
 * must never know what its values are.
 *
 * After ADWIN (Bifet and Gavaldà, 2007): the past lies in cells that are the larger the older they are. Whenever a cell is full,
 * the newer part is held against the older one at every border between cells; where they differ by more than chance explains,
 * the older part is forgotten.
 */

import { at } from '../../util/math.ts'

/** Two cells of a size are kept before they become one, and so many of the largest size before the oldest is forgotten. */
const LARGEST_CELLS = 4

/** Values taken together. */
interface Batch {
  /** number of values */
  readonly count: number
  readonly mean: number
  /** sum of the squared distances from their mean */
  readonly scatter: number
}

interface Cell extends Batch {
  /** cells of the smallest size that it was merged from, as a power of 2 */
  readonly size: number
}

export interface SteadyMeanSetup {
  /** values that a cell of the smallest size has at least */
  readonly values: number
  /** batches that it has at least: what came at once may be alike */
  readonly batches: number
  /** the size of the largest cells, as a power of 2 */
  readonly largest: number
  /** how far apart two values can be, where a few of them say little about their variance */
  readonly range: number
  /** standard errors by which the two parts must differ: they are compared again and again, at many borders */
  readonly surprise: number
}

const NOTHING: Batch = { count: 0, mean: 0, scatter: 0 }

export class SteadyMean {
  readonly #setup: SteadyMeanSetup
  /** full ones, oldest first */
  readonly #cells: Cell[] = []
  #filling: Batch = NOTHING
  #batches = 0
  #all: Batch = NOTHING

  constructor(setup: SteadyMeanSetup) {
    this.#setup = setup
  }

  /** Values that are remembered. */
  get count(): number {
    return this.#all.count
  }

  get mean(): number {
    return this.#all.mean
  }

  /** The variance of the mean, if the values are independent. */
  get variance(): number {
    const { count, scatter } = this.#all
    return count > 0 ? scatter / (count * count) : 0
  }

  add(count: number, mean: number, scatter: number): void {
    const batch = { count, mean, scatter }
    this.#all = together(this.#all, batch)
    this.#filling = together(this.#filling, batch)
    if (++this.#batches < this.#setup.batches || this.#filling.count < this.#setup.values) return
    this.#cells.push({ ...this.#filling, size: 0 })
    this.#filling = NOTHING
    this.#batches = 0
    this.#forget()
    this.#merge()
  }

  clear(): void {
    this.#cells.length = 0
    this.#filling = NOTHING
    this.#batches = 0
    this.#all = NOTHING
  }

  /** Drops what lies before the border where the two parts are most surprisingly different. */
  #forget(): void {
    let newer = NOTHING
    let border = 0
    let most = 1
    for (let i = this.#cells.length - 1; i > 0; i--) {
      newer = together(newer, at(this.#cells, i))
      const surprise = this.#surprise(newer, without(this.#all, newer))
      if (surprise > most) {
        most = surprise
        border = i
      }
    }
    if (border === 0) return
    this.#cells.splice(0, border)
    this.#sum()
  }

  /** How far apart two parts are, as a part of what chance explains (Bernstein's inequality). */
  #surprise(newer: Batch, older: Batch): number {
    const inverse = 1 / newer.count + 1 / older.count
    const variance = (newer.scatter + older.scatter) / (newer.count + older.count)
    const { surprise, range } = this.#setup
    const chance = surprise * Math.sqrt(variance * inverse) + ((surprise * surprise) / 3) * range * inverse
    const apart = Math.abs(newer.mean - older.mean)
    // Equal values may differ in their last bits after sums.
    return apart > 1e-9 * Math.abs(older.mean) ? apart / chance : 0
  }

  #merge(): void {
    const cells = this.#cells
    for (let i = cells.length - 1; i >= 2; i--) {
      const { size } = at(cells, i)
      const older = at(cells, i - 1)
      const oldest = at(cells, i - 2)
      if (size === this.#setup.largest || older.size !== size || oldest.size !== size) continue
      cells.splice(i - 2, 2, { ...together(oldest, older), size: size + 1 })
    }
    if (cells.length <= LARGEST_CELLS || at(cells, LARGEST_CELLS).size < this.#setup.largest) return
    cells.shift()
    this.#sum()
  }

  #sum(): void {
    this.#all = this.#cells.reduce(together, this.#filling)
  }
}

function together(a: Batch, b: Batch): Batch {
  const count = a.count + b.count
  if (a.count === 0) return b
  const apart = b.mean - a.mean
  const mean = a.mean + (apart * b.count) / count
  return { count, mean, scatter: a.scatter + b.scatter + (apart * apart * a.count * b.count) / count }
}

/** What is left of `all` without a part of it. */
function without(all: Batch, part: Batch): Batch {
  const count = all.count - part.count
  if (count <= 0) return NOTHING
  const mean = (all.mean * all.count - part.mean * part.count) / count
  const apart = part.mean - mean
  const between = (apart * apart * count * part.count) / all.count
  return { count, mean, scatter: Math.max(0, all.scatter - part.scatter - between) }
}
