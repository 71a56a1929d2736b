/**
 * The block tables of running requests, append-only: a block in a table stays at its place until the request leaves. Full
 * blocks of committed, computed tokens can be found by later requests, which then read the same block; nobody writes to it
 * again. What a request leaves behind stays findable until its blocks are needed.
 *
 * Serves the layers whose cache is paged; another kind of cache has a manager of its own beside this one, and the scheduler
 * asks managers for room and never counts blocks itself. Asking changes nothing. It must never know why a request needs room.
 */

import { CACHED_BLOCK, FREE_BLOCK, SHARED_BLOCK } from '../../protocol/blockMap.ts'
import type { EngineOptions } from '../../protocol/engineOptions.ts'
import { assert, at } from '../../util/math.ts'
import { BLOCK_SIZE, blocksNeeded, totalBlocks } from '../cost.ts'
import type { Request } from '../request.ts'
import { type HashBlock, hashBlock as murmur } from './blockHash.ts'
import { BlockPool } from './blockPool.ts'
import { PrefixCache } from './prefixCache.ts'

/** The longest prefix of a request whose KV is in the cache already. */
export interface CachedPrefix {
  /** tokens, a multiple of BLOCK_SIZE */
  readonly tokens: number
  readonly blocks: readonly number[]
  /** how many of these blocks running requests hold already, so that they take no free block */
  readonly held: number
}

interface BlockTable {
  readonly blocks: number[]
  /** blocks at its front that are registered, or never will be; all blocks that it shares are among them */
  considered: number
  /** blocks at its front that the drafter has whole, as far as was looked */
  drafted: number
}

const NO_BLOCKS: readonly number[] = []
const NOTHING_CACHED: CachedPrefix = { tokens: 0, blocks: NO_BLOCKS, held: 0 }

export class KvCacheManager {
  readonly #pool: BlockPool
  /** undefined without prefix caching */
  readonly #cache: PrefixCache | undefined
  readonly #tables = new Map<number, BlockTable>()
  /** 1: the drafter has K and V of the whole block */
  readonly #drafted: Uint8Array // [totalBlocks]

  constructor(
    options: Pick<EngineOptions, 'kvCacheTokens' | 'enablePrefixCaching' | 'speculative'>,
    hashBlock: HashBlock = murmur,
  ) {
    const { enablePrefixCaching, speculative } = options
    const blocks = totalBlocks(options)
    this.#pool = new BlockPool(blocks)
    this.#drafted = new Uint8Array(blocks)
    this.#cache = enablePrefixCaching ? new PrefixCache(blocks, speculative?.method === 'mtp', hashBlock) : undefined
  }

  get totalBlocks(): number {
    return this.#pool.total
  }

  /** Blocks that no running request holds, whether a cached prefix is in them or not. */
  get freeBlocks(): number {
    return this.#pool.free
  }

  get usedBlocks(): number {
    return this.#pool.total - this.#pool.free
  }

  /** The blocks of a running request in the order of its tokens. */
  table(requestId: number): readonly number[] {
    return this.#tables.get(requestId)?.blocks ?? NO_BLOCKS
  }

  /** The longest cached prefix of a request's known tokens, at least one token short of all of them. */
  findCached(request: Request): CachedPrefix {
    const found = this.#cache?.find(request)
    if (!found || found.length === 0) return NOTHING_CACHED
    const isHeld = (block: number): boolean => this.#pool.holders(block) > 0
    const blocks = found.map((equal) => equal.find(isHeld) ?? at(equal, 0))
    return { tokens: blocks.length * BLOCK_SIZE, blocks, held: blocks.filter(isHeld).length }
  }

  /**
   * The chained hash of a full block of a request's known tokens: requests with an equal one can share the block, save for a
   * collision. Undefined of a block that a hit may not use.
   */
  blockKey(request: Request, index: number): number | undefined {
    return this.#cache?.key(request, index)
  }

  /** Begins the table of an admitted request with the blocks just found for it; those that were free are so no longer. */
  admit(request: Request, cached: CachedPrefix): void {
    assert(!this.#tables.has(request.id), `request ${request.id} has no block table yet`)
    const found = this.#cache?.find(request) ?? []
    cached.blocks.forEach((block, i) => {
      assert(found[i]?.includes(block), `block ${block} still holds tokens of request ${request.id}`)
    })
    for (const block of cached.blocks) this.#pool.hold(block)
    this.#tables.set(request.id, { blocks: [...cached.blocks], considered: cached.blocks.length, drafted: 0 })
  }

  /** Appends what is missing for `tokens` tokens; the room must be there. What was cached in these blocks is forgotten. */
  allocate(requestId: number, tokens: number): void {
    const { blocks } = this.#tableOf(requestId)
    const end = blocksNeeded(tokens)
    assert(end - blocks.length <= this.#pool.free, `${end - blocks.length} of ${this.#pool.free} free blocks`)
    while (blocks.length < end) {
      const block = this.#pool.take()
      this.#cache?.forget(block)
      this.#drafted[block] = 0
      blocks.push(block)
    }
  }

  /** Makes the request's full blocks findable, as far as their tokens are committed and computed and all drafts settled. */
  register(request: Request, computed: number): void {
    const cache = this.#cache
    if (!cache) return
    const table = this.#tableOf(request.id)
    const end = cache.registrable(request, computed)
    for (; table.considered < end; table.considered++) {
      const index = table.considered
      cache.register(request, index, at(table.blocks, index), table.blocks[index - 1])
    }
  }

  /**
   * Tokens at a request's front whose K and V the drafter has, counted in whole blocks. A shared block counts for every request
   * that holds it.
   */
  drafterComputedTokens(requestId: number): number {
    const table = this.#tableOf(requestId)
    const { blocks } = table
    while (table.drafted < blocks.length && this.#drafted[at(blocks, table.drafted)] === 1) table.drafted++
    return table.drafted * BLOCK_SIZE
  }

  /** The drafter has, or will have with the next step, K and V of so many tokens at a request's front. */
  markDrafterComputed(requestId: number, tokens: number): void {
    const table = this.#tableOf(requestId)
    const end = Math.min(Math.floor(tokens / BLOCK_SIZE), table.blocks.length)
    for (; table.drafted < end; table.drafted++) this.#drafted[at(table.blocks, table.drafted)] = 1
  }

  /** Takes a request's hold off every block. Tails become free first, so that a prefix outlives what continues it. */
  release(requestId: number): void {
    const table = this.#tables.get(requestId)
    if (!table) return
    this.#tables.delete(requestId)
    for (let i = table.blocks.length - 1; i >= 0; i--) {
      const block = at(table.blocks, i)
      this.#pool.release(block, this.#cache?.has(block) ?? false)
    }
  }

  /** Blocks that a request alone holds: those it would free. */
  exclusiveBlocks(requestId: number): number {
    let blocks = 0
    for (const block of this.table(requestId)) if (this.#pool.holders(block) === 1) blocks++
    return blocks
  }

  /** Forgets every cached prefix; tables stay. */
  reset(): void {
    this.#cache?.reset()
  }

  /** One entry per block: the request that holds it, or FREE_BLOCK, CACHED_BLOCK, SHARED_BLOCK. A copy. */
  blockOwners(): Int32Array {
    const owners = new Int32Array(this.totalBlocks).map((_, block) =>
      this.#cache?.has(block) ? CACHED_BLOCK : FREE_BLOCK,
    )
    for (const [id, { blocks }] of this.#tables) {
      for (const block of blocks) owners[block] = this.#pool.holders(block) > 1 ? SHARED_BLOCK : id
    }
    return owners
  }

  /**
   * Throws unless blocks, tables and cached prefixes agree: a block has as many holders as tables hold it, no two tables could
   * write to it, what is registered of a table is a chain from its front, and what the drafter has of it its first blocks.
   */
  checkIntegrity(): void {
    this.#pool.checkIntegrity()
    this.#cache?.checkIntegrity()
    const holders = new Int32Array(this.totalBlocks)
    for (const [id, { blocks, considered, drafted }] of this.#tables) {
      const whole = blocks.slice(0, drafted).every((block) => this.#drafted[block] === 1)
      assert(drafted <= blocks.length && whole, `the drafter has the first blocks of request ${id}`)
      assert(
        considered <= blocks.length && new Set(blocks).size === blocks.length,
        `the table of request ${id} is sane`,
      )
      blocks.forEach((block, index) => {
        holders[block] = at(holders, block) + 1
        this.#cache?.checkChain(block, blocks[index - 1])
        const writable = index >= considered
        assert(!writable || this.#pool.holders(block) === 1, `block ${block} is written by request ${id} alone`)
        assert(!writable || !this.#cache?.has(block), `block ${block} is cached only when it is full`)
      })
    }
    holders.forEach((count, block) => {
      assert(this.#pool.holders(block) === count, `block ${block} is in ${count} tables`)
    })
  }

  #tableOf(requestId: number): BlockTable {
    const table = this.#tables.get(requestId)
    assert(table !== undefined, `request ${requestId} has a block table`)
    return table
  }
}
