/**
 * The block tables of running requests, append-only: a block in a table stays at its place until the request leaves. Serves
 * the layers whose cache is paged; another kind of cache has a manager of its own beside this one, and the scheduler asks
 * managers for room and never counts blocks itself. It must never know why a request needs room.
 */

import { assert } from '../util/math.ts'
import { BlockPool } from './blockPool.ts'
import { BLOCK_SIZE, blocksNeeded } from './cost.ts'

/** The longest prefix of a request whose KV is in the cache already. */
export interface CachedPrefix {
  /** tokens, a multiple of BLOCK_SIZE */
  readonly tokens: number
  readonly blocks: readonly number[]
}

const NOTHING_CACHED: CachedPrefix = { tokens: 0, blocks: [] }

export class KvCacheManager {
  readonly #pool: BlockPool
  readonly #tables = new Map<number, number[]>()

  constructor(totalBlocks: number) {
    this.#pool = new BlockPool(totalBlocks)
  }

  get totalBlocks(): number {
    return this.#pool.total
  }

  get freeBlocks(): number {
    return this.#pool.free
  }

  get usedBlocks(): number {
    return this.#pool.total - this.#pool.free
  }

  /** The blocks of a running request in the order of its tokens. */
  table(requestId: number): readonly number[] {
    return this.#tables.get(requestId) ?? []
  }

  /** Blocks missing before `tokens` tokens of a request have a slot. */
  missing(requestId: number, tokens: number): number {
    return Math.max(0, blocksNeeded(tokens) - this.table(requestId).length)
  }

  /** Tokens of a request that have a slot once it owns `more` more blocks. */
  capacity(requestId: number, more: number): number {
    return (this.table(requestId).length + more) * BLOCK_SIZE
  }

  /** Begins the table of an admitted request with its cached blocks. */
  admit(requestId: number, cached: CachedPrefix): void {
    assert(!this.#tables.has(requestId), `request ${requestId} has no block table yet`)
    this.#tables.set(requestId, [...cached.blocks])
  }

  /** Appends what is missing for `tokens` tokens; the room must be there. */
  allocate(requestId: number, tokens: number): void {
    const table = this.#tables.get(requestId)
    assert(table !== undefined, `request ${requestId} has a block table`)
    table.push(...this.#pool.allocate(requestId, this.missing(requestId, tokens)))
  }

  /** Frees every block of a request. */
  release(requestId: number): void {
    const table = this.#tables.get(requestId)
    if (!table) return
    this.#tables.delete(requestId)
    this.#pool.release(requestId, table)
  }

  /** The longest cached prefix of these tokens, at least one token short of all of them. Nothing is cached yet. */
  findCached(_tokens: readonly number[]): CachedPrefix {
    return NOTHING_CACHED
  }

  /** One entry per block: the request that owns it, -1 when free. A copy. */
  blockOwners(): Int32Array {
    return this.#pool.owners()
  }

  /** Throws unless blocks and tables agree: free + owned = total, and every owned block is in its owner's table. */
  checkIntegrity(): void {
    this.#pool.checkIntegrity()
    const owners = this.#pool.owners()
    let owned = 0
    for (const [id, table] of this.#tables) {
      owned += table.length
      for (const block of table) assert(owners[block] === id, `block ${block} belongs to request ${id}`)
    }
    assert(owned === this.usedBlocks, `${owned} blocks in tables, ${this.usedBlocks} in use`)
  }
}
