/**
 * The KV blocks, and how many hold each: free + held = total, always. A block is handed out to one holder; others may join it.
 * Taking more than are free, or giving back what nobody holds, is an error of ours. It must never know who holds a block, nor
 * what is in it: the caller that frees the last reference says whether the content is worth keeping.
 */

import { assert, at } from '../../util/math.ts'
import { FreeBlockList } from './freeBlockList.ts'

export class BlockPool {
  /** holders of a block; it is in the free list while there are none */
  readonly #holders: Int32Array // [totalBlocks]
  readonly #free: FreeBlockList

  constructor(totalBlocks: number) {
    this.#holders = new Int32Array(totalBlocks)
    this.#free = new FreeBlockList(totalBlocks)
  }

  get total(): number {
    return this.#holders.length
  }

  get free(): number {
    return this.#free.size
  }

  /** Free blocks in the order in which they will be handed out. */
  get order(): Iterable<number> {
    return this.#free
  }

  holders(block: number): number {
    return at(this.#holders, block)
  }

  /** Hands out the free block whose content is missed least. */
  take(): number {
    const block = this.#free.popFront()
    this.#holders[block] = 1
    return block
  }

  /** One more holder of a block with content, which leaves the free list if it was free. */
  hold(block: number): void {
    const holders = this.holders(block)
    if (holders === 0) this.#free.remove(block)
    this.#holders[block] = holders + 1
  }

  /** One holder less. The last one's block is reused late if its content is worth keeping, and at once if not. */
  release(block: number, keep: boolean): void {
    const holders = this.holders(block) - 1
    assert(holders >= 0, `block ${block} is held`)
    this.#holders[block] = holders
    if (holders > 0) return
    if (keep) this.#free.pushBack(block)
    else this.#free.pushFront(block)
  }

  /** Throws unless each block is either held, or free and in the free list once. */
  checkIntegrity(): void {
    this.#free.checkIntegrity()
    this.#holders.forEach((holders, block) => {
      assert(holders >= 0 && (holders === 0) === this.#free.has(block), `block ${block} is either free or held`)
    })
  }
}
