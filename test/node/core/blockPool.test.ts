import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BlockPool, FREE_BLOCK } from '../../../src/core/blockPool.ts'
import { KvCacheManager } from '../../../src/core/kvCacheManager.ts'

/** The pool as a naive map: block to owner. */
interface Model {
  readonly total: number
  readonly owners: Map<number, number>
}

type PoolCommand = fc.Command<Model, BlockPool>

function compare(model: Model, pool: BlockPool): void {
  pool.checkIntegrity()
  expect(pool.total).toBe(model.total)
  expect(pool.free + model.owners.size).toBe(model.total)
  pool.owners().forEach((owner, block) => {
    expect(owner).toBe(model.owners.get(block) ?? FREE_BLOCK)
  })
}

class Allocate implements PoolCommand {
  readonly #owner: number
  readonly #count: number
  constructor(owner: number, count: number) {
    this.#owner = owner
    this.#count = count
  }
  check = () => true
  run(model: Model, pool: BlockPool): void {
    const fits = this.#count <= model.total - model.owners.size
    expect(pool.canAllocate(this.#count)).toBe(fits)
    if (fits) {
      const blocks = pool.allocate(this.#owner, this.#count)
      expect(new Set(blocks).size).toBe(this.#count)
      for (const block of blocks) {
        expect(model.owners.has(block)).toBe(false)
        model.owners.set(block, this.#owner)
      }
    } else {
      expect(() => pool.allocate(this.#owner, this.#count)).toThrow('free blocks')
    }
    compare(model, pool)
  }
  toString = () => `allocate(${this.#owner}, ${this.#count})`
}

class Release implements PoolCommand {
  readonly #owner: number
  constructor(owner: number) {
    this.#owner = owner
  }
  check = () => true
  run(model: Model, pool: BlockPool): void {
    const blocks = [...model.owners].filter(([, owner]) => owner === this.#owner).map(([block]) => block)
    pool.release(this.#owner, blocks)
    for (const block of blocks) model.owners.delete(block)
    compare(model, pool)
  }
  toString = () => `release(${this.#owner})`
}

class ReleaseWrongly implements PoolCommand {
  readonly #owner: number
  readonly #block: number
  constructor(owner: number, block: number) {
    this.#owner = owner
    this.#block = block
  }
  check = (model: Readonly<Model>) => model.owners.get(this.#block) !== this.#owner
  run(model: Model, pool: BlockPool): void {
    expect(() => pool.release(this.#owner, [this.#block])).toThrow(`owned by request ${this.#owner}`)
    compare(model, pool)
  }
  toString = () => `releaseWrongly(${this.#owner}, ${this.#block})`
}

describe('block pool', () => {
  it('agrees with a map of owners under every sequence of calls', () => {
    const owner = fc.nat(4)
    const commands = fc.commands(
      [
        fc.tuple(owner, fc.nat(6)).map(([id, count]) => new Allocate(id, count)),
        owner.map((id) => new Release(id)),
        fc.tuple(owner, fc.nat(19)).map(([id, block]) => new ReleaseWrongly(id, block)),
      ],
      { maxCommands: 60 },
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), commands, (total, cmds) => {
        fc.modelRun(() => ({ model: { total, owners: new Map() }, real: new BlockPool(total) }), cmds)
      }),
      { numRuns: 200 },
    )
  })
})

describe('kv cache manager', () => {
  it('appends to tables only, and frees all of a request', () => {
    const call = fc.record({ id: fc.nat(3), tokens: fc.integer({ min: 0, max: 120 }), release: fc.boolean() })
    fc.assert(
      fc.property(fc.array(call, { maxLength: 40 }), (calls) => {
        const kv = new KvCacheManager(16)
        const admitted = new Set<number>()
        for (const { id, tokens, release } of calls) {
          const before = [...kv.table(id)]
          if (release) {
            kv.release(id)
            admitted.delete(id)
            expect(kv.table(id)).toEqual([])
          } else if (kv.missing(id, tokens) <= kv.freeBlocks) {
            if (!admitted.has(id)) kv.admit(id, { tokens: 0, blocks: [] })
            admitted.add(id)
            kv.allocate(id, tokens)
            expect(kv.table(id).slice(0, before.length)).toEqual(before)
            expect(kv.capacity(id, 0)).toBeGreaterThanOrEqual(tokens)
            expect(kv.missing(id, tokens)).toBe(0)
          }
          kv.checkIntegrity()
        }
        for (const id of admitted) kv.release(id)
        expect(kv.freeBlocks).toBe(16)
      }),
    )
  })

  it('finds nothing in the prefix cache yet', () => {
    expect(new KvCacheManager(4).findCached([1, 2, 3])).toEqual({ tokens: 0, blocks: [] })
  })
})
