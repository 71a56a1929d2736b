/**
 * The KV blocks and who owns each: free + owned = total, always. A block has one owner; asking for more than are free, or giving
 * back what one does not own, is an error of ours. It must never know what is in a block.
 */

import { assert } from '../util/math.ts'

export const FREE_BLOCK = -1

export class BlockPool {
  /** the request that owns a block, or FREE_BLOCK */
  readonly #owners: Int32Array // [totalBlocks]
  /** free blocks; the next one to hand out is the last */
  readonly #free: number[]

  constructor(totalBlocks: number) {
    this.#owners = new Int32Array(totalBlocks).fill(FREE_BLOCK)
    this.#free = Array.from({ length: totalBlocks }, (_, index) => totalBlocks - 1 - index)
  }

  get total(): number {
    return this.#owners.length
  }

  get free(): number {
    return this.#free.length
  }

  canAllocate(count: number): boolean {
    return count <= this.#free.length
  }

  /** `count` free blocks, now owned by `owner`. */
  allocate(owner: number, count: number): number[] {
    assert(this.canAllocate(count), `${count} of ${this.free} free blocks`)
    const blocks: number[] = []
    for (let i = 0; i < count; i++) {
      const block = this.#free.pop()
      assert(block !== undefined && this.#owners[block] === FREE_BLOCK, `block ${block} is free`)
      this.#owners[block] = owner
      blocks.push(block)
    }
    return blocks
  }

  /** Gives back blocks that `owner` owns, the last one first. */
  release(owner: number, blocks: readonly number[]): void {
    for (const block of blocks.toReversed()) {
      assert(this.#owners[block] === owner, `block ${block} is owned by request ${owner}`)
      this.#owners[block] = FREE_BLOCK
      this.#free.push(block)
    }
  }

  /** One entry per block: the request that owns it, or FREE_BLOCK. A copy. */
  owners(): Int32Array {
    return this.#owners.slice()
  }

  /** Throws unless each block is either free, and once in the free list, or owned. */
  checkIntegrity(): void {
    const free = new Set(this.#free)
    assert(free.size === this.#free.length, 'no block is free twice')
    this.#owners.forEach((owner, block) => {
      assert((owner === FREE_BLOCK) === free.has(block), `block ${block} is either free or owned`)
    })
  }
}
