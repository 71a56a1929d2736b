/**
 * The KV cache manager as plain maps and strings. A block's content is spelt out in full, salt and prefix and all, and equal
 * when the strings are; the order of reuse is an array. So it predicts every block that is found, handed out or forgotten.
 */

import { BLOCK_SIZE, blocksNeeded } from '../../src/core/cost.ts'
import { type HashBlock, saltHash } from '../../src/core/kv/blockHash.ts'
import type { CachedPrefix } from '../../src/core/kv/kvCacheManager.ts'
import type { Request } from '../../src/core/request.ts'
import { CACHED_BLOCK, FREE_BLOCK, SHARED_BLOCK } from '../../src/protocol/blockMap.ts'
import { at } from '../../src/util/math.ts'

export interface ModelSetup {
  readonly blocks: number
  readonly caching: boolean
  readonly drafter: boolean
  readonly hashBlock: HashBlock
}

export interface ModelTable {
  readonly request: Request
  readonly blocks: number[]
  /** blocks that were offered for registration, the cached ones included */
  offered: number
  /** tokens */
  computed: number
}

interface Registered {
  readonly content: string
  readonly key: number
}

/** What happened, so that a test can say that it tested something. */
export interface ModelTally {
  hits: number
  revived: number
  shared: number
  evictions: number
  collisions: number
  duplicates: number
}

export class KvModel {
  readonly setup: ModelSetup
  /** requests so far */
  arrivals = 0
  readonly tables = new Map<number, ModelTable>()
  /** in the order of reuse */
  readonly free: number[]
  readonly tally: ModelTally
  /** by block, in the order of registration */
  readonly #registered = new Map<number, Registered>()

  constructor(setup: ModelSetup, tally: ModelTally) {
    this.setup = setup
    this.tally = tally
    this.free = Array.from({ length: setup.blocks }, (_, block) => block)
  }

  holders(block: number): number {
    return [...this.tables.values()].filter(({ blocks }) => blocks.includes(block)).length
  }

  find(request: Request): CachedPrefix {
    const blocks: number[] = []
    for (let index = 0; (index + 1) * BLOCK_SIZE < request.tokens.length; index++) {
      const content = this.#content(request, index)
      const equal = [...this.#registered].filter(([, other]) => other.content === content).map(([block]) => block)
      const block = equal.find((one) => this.holders(one) > 0) ?? equal[0]
      if (block === undefined) break
      blocks.push(block)
    }
    const held = blocks.filter((block) => this.holders(block) > 0).length
    return { tokens: blocks.length * BLOCK_SIZE, blocks, held }
  }

  /** The chained hash of a block, whether it can be found or not. */
  key(request: Request, index: number): number {
    const parent = index === 0 ? saltHash(request.spec.cacheSalt) : this.key(request, index - 1)
    const begin = index * BLOCK_SIZE
    return this.setup.hashBlock(parent, request.tokens, begin, begin + BLOCK_SIZE + this.#lookahead)
  }

  admit(request: Request, { tokens, blocks }: CachedPrefix): ModelTable {
    this.tally.hits += blocks.length
    for (const block of blocks) {
      if (this.holders(block) > 0) this.tally.shared++
      else this.tally.revived++
      if (this.free.includes(block)) this.free.splice(this.free.indexOf(block), 1)
    }
    const table = { request, blocks: [...blocks], offered: blocks.length, computed: tokens }
    this.tables.set(request.id, table)
    return table
  }

  allocate({ blocks }: ModelTable, tokens: number): void {
    const more = this.free.splice(0, Math.max(0, blocksNeeded(tokens) - blocks.length))
    for (const block of more) if (this.#registered.delete(block)) this.tally.evictions++
    blocks.push(...more)
  }

  register(table: ModelTable, computed: number): void {
    table.computed = computed
    const end = Math.floor(Math.min(computed, table.request.tokens.length - this.#lookahead) / BLOCK_SIZE)
    for (; this.setup.caching && table.offered < end; table.offered++) this.#offer(table)
  }

  release({ request, blocks }: ModelTable): void {
    this.tables.delete(request.id)
    for (const block of blocks.toReversed()) {
      if (this.holders(block) > 0) continue
      if (this.#registered.has(block)) this.free.push(block)
      else this.free.unshift(block)
    }
  }

  reset(): void {
    this.#registered.clear()
  }

  owners(): number[] {
    return Array.from({ length: this.setup.blocks }, (_, block) => {
      const ids = [...this.tables].filter(([, { blocks }]) => blocks.includes(block)).map(([id]) => id)
      if (ids.length > 1) return SHARED_BLOCK
      return ids[0] ?? (this.#registered.has(block) ? CACHED_BLOCK : FREE_BLOCK)
    })
  }

  /** Registers a table's next full block, unless its prefix is not registered or another content has its hash. */
  #offer({ request, blocks, offered: index }: ModelTable): void {
    if (index > 0 && !this.#registered.has(at(blocks, index - 1))) return
    const content = this.#content(request, index)
    const key = this.key(request, index)
    const sameKey = [...this.#registered.values()].find((other) => other.key === key)
    if (sameKey && sameKey.content !== content) this.tally.collisions++
    else this.#registered.set(at(blocks, index), { content, key })
    if (sameKey?.content === content) this.tally.duplicates++
  }

  get #lookahead(): 0 | 1 {
    return this.setup.drafter ? 1 : 0
  }

  #content({ tokens, spec }: Request, index: number): string {
    return JSON.stringify([spec.cacheSalt ?? null, tokens.slice(0, (index + 1) * BLOCK_SIZE + this.#lookahead)])
  }
}
