/**
 * Free blocks in the order of reuse: a doubly linked list in two arrays, so that a block leaves its middle in O(1) and nothing
 * is allocated. It must never know why a block is free.
 */

import { assert, at } from '../../util/math.ts'

/** as a neighbour: the block is not in the list */
const ABSENT = -1

export class FreeBlockList {
  // [totalBlocks + 1]; the last entry is the sentinel, which closes the ring: its next is the front, its previous the back
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #sentinel: number
  #size = 0

  /** All blocks, the lowest first. */
  constructor(totalBlocks: number) {
    this.#sentinel = totalBlocks
    this.#next = new Int32Array(totalBlocks + 1).fill(ABSENT)
    this.#previous = new Int32Array(totalBlocks + 1).fill(ABSENT)
    this.#link(totalBlocks, totalBlocks)
    for (let block = 0; block < totalBlocks; block++) this.pushBack(block)
  }

  get size(): number {
    return this.#size
  }

  has(block: number): boolean {
    return block !== this.#sentinel && at(this.#next, block) !== ABSENT
  }

  /** `block` is the next to be reused. */
  pushFront(block: number): void {
    this.#insert(block, this.#sentinel, at(this.#next, this.#sentinel))
  }

  /** `block` is reused after all others. */
  pushBack(block: number): void {
    this.#insert(block, at(this.#previous, this.#sentinel), this.#sentinel)
  }

  popFront(): number {
    const block = at(this.#next, this.#sentinel)
    assert(block !== this.#sentinel, 'a block is free')
    this.remove(block)
    return block
  }

  remove(block: number): void {
    assert(this.has(block), `block ${block} is free`)
    this.#link(at(this.#previous, block), at(this.#next, block))
    this.#next[block] = ABSENT
    this.#previous[block] = ABSENT
    this.#size--
  }

  /** In the order of reuse. */
  *[Symbol.iterator](): Generator<number, void> {
    for (let block = at(this.#next, this.#sentinel); block !== this.#sentinel; block = at(this.#next, block))
      yield block
  }

  /** Throws unless the links agree in both directions and reach each listed block once. */
  checkIntegrity(): void {
    let reached = 0
    for (const block of this) {
      assert(at(this.#next, at(this.#previous, block)) === block, `free block ${block} follows the one before it`)
      assert(++reached <= this.#size, 'the free list ends')
    }
    assert(reached === this.#size, `${reached} of ${this.#size} free blocks are reached`)
  }

  #insert(block: number, before: number, after: number): void {
    assert(!this.has(block), `block ${block} is not free yet`)
    this.#link(before, block)
    this.#link(block, after)
    this.#size++
  }

  #link(before: number, after: number): void {
    this.#next[before] = after
    this.#previous[after] = before
  }
}
