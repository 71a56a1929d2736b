/**
 * Block tables and holders as a device would know them: from the plans' block writes alone, and from who leaves. Tables are
 * append-only; a block that is given out is nobody's, and one that came with a cached prefix stays as it is.
 */

import { BLOCK_SIZE } from '../../src/core/cost.ts'
import type { KvCacheManager } from '../../src/core/kv/kvCacheManager.ts'
import type { StepPlan } from '../../src/core/stepPlan.ts'
import { CACHED_BLOCK, FREE_BLOCK, SHARED_BLOCK } from '../../src/protocol/blockMap.ts'
import { assert, at } from '../../src/util/math.ts'
import type { BlastCoverage } from './blastCoverage.ts'

export interface BlastTable {
  readonly generation: number
  /** blocks at its front that came with the cached prefix */
  readonly cached: number
  readonly blocks: number[]
}

export class BlastLedger {
  readonly #coverage: BlastCoverage
  readonly #holders: Int32Array // [totalBlocks]
  /** by table row; a later admission takes the place of an earlier one */
  readonly #rows = new Map<number, BlastTable>()
  readonly #live = new Map<number, BlastTable>()
  /** blocks with a prefix that could be taken up again, as the block map said last */
  #cachedBlocks: Int32Array

  constructor(totalBlocks: number, coverage: BlastCoverage) {
    this.#coverage = coverage
    this.#holders = new Int32Array(totalBlocks)
    this.#cachedBlocks = new Int32Array(totalBlocks).fill(FREE_BLOCK)
  }

  get free(): number {
    return this.#holders.reduce((sum, holders) => sum + (holders === 0 ? 1 : 0), 0)
  }

  /** The table of a running request. */
  table(generation: number): BlastTable {
    const table = this.#live.get(generation)
    assert(table, `generation ${generation} has a block table`)
    return table
  }

  holders(block: number): number {
    return at(this.#holders, block)
  }

  /** Blocks that a running request alone holds. */
  alone(generation: number): number {
    return this.table(generation).blocks.reduce((sum, block) => sum + (this.holders(block) === 1 ? 1 : 0), 0)
  }

  /** Takes in a plan's table and block writes. */
  apply({ tableWrites, blockWrites }: StepPlan): void {
    for (const { tableRow, generation, computed } of tableWrites) {
      const former = this.#rows.get(tableRow)
      assert(!former || !this.#live.has(former.generation), `table row ${tableRow} is free`)
      assert(!this.#live.has(generation), `generation ${generation} is new`)
      assert(computed % BLOCK_SIZE === 0, 'whole blocks are cached')
      const table = { generation, cached: computed / BLOCK_SIZE, blocks: [] }
      this.#rows.set(tableRow, table)
      this.#live.set(generation, table)
    }
    const given: number[] = []
    for (const { tableRow, index, block } of blockWrites) {
      const table = this.#rows.get(tableRow)
      assert(table && this.#live.has(table.generation), `table row ${tableRow} is taken`)
      assert(index === table.blocks.length, `block ${index} of table row ${tableRow} is appended`)
      if (index < table.cached) this.#coverage.count(this.holders(block) > 0 ? 'sharedBlocks' : 'revivedBlocks')
      else given.push(block)
      table.blocks.push(block)
      this.#holders[block] = this.holders(block) + 1
    }
    for (const block of given) {
      assert(this.holders(block) === 1, `block ${block} is given to one request, and nobody else holds it`)
      if (this.#cachedBlocks[block] === CACHED_BLOCK) this.#coverage.count('evictions')
    }
    for (const { tableRow } of tableWrites) {
      const table = this.#rows.get(tableRow)
      assert(table && table.blocks.length >= table.cached, `table row ${tableRow} has its cached blocks`)
    }
  }

  release(generation: number): void {
    for (const block of this.table(generation).blocks) this.#holders[block] = this.holders(block) - 1
    this.#live.delete(generation)
  }

  /** Compares with what the core thinks. @param generations of the running requests, by request id */
  check(kv: KvCacheManager, generations: ReadonlyMap<number, number>): void {
    const { free } = this
    assert(kv.freeBlocks === free, `${kv.freeBlocks} blocks are free, the oracle counts ${free}`)
    assert(kv.freeBlocks + kv.usedBlocks === kv.totalBlocks, 'free and used blocks are all blocks')
    assert(this.#live.size === generations.size, 'whoever runs has a table, and nobody else')
    const owners = kv.blockOwners()
    for (const [id, generation] of generations) {
      const { blocks } = this.table(generation)
      const table = kv.table(id)
      assert(table.length === blocks.length, `the table of request ${id} has ${blocks.length} blocks`)
      blocks.forEach((block, index) => {
        assert(table[index] === block, `block ${index} of request ${id} is ${block}`)
        const owner = this.holders(block) > 1 ? SHARED_BLOCK : id
        assert(owners[block] === owner, `block ${block} is of ${owner}, not ${owners[block]}`)
      })
      assert(kv.exclusiveBlocks(id) === this.alone(generation), `request ${id} holds as many blocks alone`)
    }
    owners.forEach((owner, block) => {
      const isFree = owner === FREE_BLOCK || owner === CACHED_BLOCK
      assert(isFree === (this.holders(block) === 0), `block ${block} has ${this.holders(block)} holders`)
    })
    this.#cachedBlocks = owners
  }
}
