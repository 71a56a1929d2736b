/** The KV cache manager against a model of plain maps, under every sequence of calls and with hash functions weak and strong. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE, blocksNeeded } from '../../../../src/core/cost.ts'
import { type HashBlock, hashBlock } from '../../../../src/core/kv/blockHash.ts'
import { KvCacheManager } from '../../../../src/core/kv/kvCacheManager.ts'
import { mtp } from '../../../helpers/coreFixtures.ts'
import { kvOptions, requestOf, spell, spellOn } from '../../../helpers/kvFixtures.ts'
import { KvModel, type ModelSetup, type ModelTable, type ModelTally } from '../../../helpers/kvModel.ts'

type Action = (model: KvModel, kv: KvCacheManager) => void

/** Runs, then compares all that can be seen. */
class Command implements fc.Command<KvModel, KvCacheManager> {
  readonly #label: string
  readonly #action: Action

  constructor(label: string, action: Action) {
    this.#label = label
    this.#action = action
  }

  check = () => true

  run(model: KvModel, kv: KvCacheManager): void {
    this.#action(model, kv)
    compare(model, kv)
  }

  toString = () => this.#label
}

function compare(model: KvModel, kv: KvCacheManager): void {
  kv.checkIntegrity()
  const unique = new Set([...model.tables.values()].flatMap(({ blocks }) => blocks))
  expect(kv.freeBlocks + unique.size).toBe(kv.totalBlocks)
  expect(kv.usedBlocks).toBe(unique.size)
  expect([...kv.blockOwners()]).toEqual(model.owners())
  for (const [id, { blocks }] of model.tables) {
    expect(kv.table(id)).toEqual(blocks)
    expect(kv.exclusiveBlocks(id)).toBe(blocks.filter((block) => model.holders(block) === 1).length)
  }
}

/** Looks a prompt up: the same blocks, and a key for each block that a hit may use. */
function ask(model: KvModel, kv: KvCacheManager, tokens: readonly number[], salt: string | undefined): void {
  const request = requestOf(-1, tokens, salt)
  expect(kv.findCached(request)).toEqual(model.find(request))
  for (let index = 0; index <= blocksNeeded(tokens.length); index++) {
    const findable = model.setup.caching && (index + 1) * BLOCK_SIZE < tokens.length
    expect(kv.blockKey(request, index)).toBe(findable ? model.key(request, index) : undefined)
  }
}

/** Slots for tokens up to `end`, or, where they do not fit, an error and nothing else. */
function allocate(model: KvModel, kv: KvCacheManager, table: ModelTable, end: number): boolean {
  const { request, blocks } = table
  const missing = Math.max(0, blocksNeeded(end) - blocks.length)
  if (missing > model.free.length) {
    expect(() => kv.allocate(request.id, end)).toThrow('free blocks')
    return false
  }
  kv.allocate(request.id, end)
  model.allocate(table, end)
  expect(kv.table(request.id).length * BLOCK_SIZE).toBeGreaterThanOrEqual(end)
  return true
}

/** Computes up to `count` more of the known tokens. */
function advance(model: KvModel, kv: KvCacheManager, table: ModelTable, count: number): void {
  const end = Math.min(table.computed + count, table.request.tokens.length)
  if (!allocate(model, kv, table, end)) return
  model.register(table, end)
  kv.register(table.request, end)
}

function pick(model: KvModel, which: number): ModelTable | undefined {
  const tables = [...model.tables.values()]
  return tables[which % tables.length]
}

interface Prompt {
  readonly letters: string
  readonly length: number
  readonly salt: string | undefined
}

const prompt: fc.Arbitrary<Prompt> = fc
  .record({
    letters: fc.string({ unit: fc.constantFrom('A', 'A', 'B'), minLength: 1, maxLength: 5 }),
    cut: fc.oneof(fc.constant(0), fc.constant(15), fc.nat(15)),
    salt: fc.oneof(
      { weight: 4, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.constantFrom('', 's') },
    ),
  })
  .map(({ letters, cut, salt }) => ({ letters, length: letters.length * BLOCK_SIZE - cut, salt }))

const which = fc.nat(20)
const rows = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constant(200))

const arrive = fc.tuple(prompt, rows).map(([{ letters, length, salt }, count]) => {
  return new Command(`arrive(${letters}, ${length}, ${salt}, ${count})`, (model, kv) => {
    const request = requestOf(model.arrivals++, spell(letters, length), salt)
    const cached = kv.findCached(request)
    expect(cached).toEqual(model.find(request))
    const blocks = blocksNeeded(Math.min(cached.tokens + count, length))
    if (blocks - cached.held > model.free.length) return
    kv.admit(request, cached)
    advance(model, kv, model.admit(request, cached), count)
  })
})

const commands = [
  arrive,
  arrive,
  fc.tuple(which, rows).map(([i, count]) => {
    return new Command(`advance(${i}, ${count})`, (model, kv) => {
      const table = pick(model, i)
      if (table) advance(model, kv, table, count)
    })
  }),
  fc.tuple(which, fc.constantFrom('A', 'B'), fc.integer({ min: 1, max: 20 })).map(([i, letter, count]) => {
    return new Command(`commit(${i}, ${letter}, ${count})`, (model, kv) => {
      const table = pick(model, i)
      if (!table) return
      const { tokens } = table.request
      tokens.push(...spellOn(tokens, letter, count))
      advance(model, kv, table, tokens.length)
    })
  }),
  fc.tuple(which, fc.integer({ min: 1, max: 3 })).map(([i, more]) => {
    return new Command(`askTooMuch(${i}, ${more})`, (model, kv) => {
      const table = pick(model, i)
      if (table) allocate(model, kv, table, (table.blocks.length + model.free.length + more) * BLOCK_SIZE)
    })
  }),
  which.map((i) => {
    return new Command(`leave(${i})`, (model, kv) => {
      const table = pick(model, i)
      if (!table) return
      kv.release(table.request.id)
      model.release(table)
    })
  }),
  prompt.map(({ letters, length, salt }) => {
    return new Command(`ask(${letters}, ${length}, ${salt})`, (model, kv) =>
      ask(model, kv, spell(letters, length), salt),
    )
  }),
]

const reset = fc.constant(
  new Command('reset', (model, kv) => {
    kv.reset()
    model.reset()
  }),
)

const weakHash: fc.Arbitrary<HashBlock> = fc.constantFrom(0, 1, 3, 15).map((mask) => {
  const weak: HashBlock = (...block) => hashBlock(...block) & mask
  return Object.assign(weak, { toString: () => `hash & ${mask}` })
})

function setups(hash: fc.Arbitrary<HashBlock>, caching: boolean): fc.Arbitrary<ModelSetup> {
  return fc.record({
    blocks: fc.integer({ min: 4, max: 24 }),
    caching: fc.constant(caching),
    drafter: fc.boolean(),
    hashBlock: hash,
  })
}

/** Runs random sequences and returns what happened in them. */
function explore(hash: fc.Arbitrary<HashBlock>, caching: boolean, numRuns: number): ModelTally {
  const tally: ModelTally = { hits: 0, revived: 0, shared: 0, evictions: 0, collisions: 0, duplicates: 0 }
  const sequence = fc.commands([...commands, ...commands, reset], { maxCommands: 60, size: 'max' })
  fc.assert(
    fc.property(setups(hash, caching), sequence, (setup, calls) => {
      const { blocks, drafter, hashBlock } = setup
      const options = kvOptions(blocks, {
        enablePrefixCaching: setup.caching,
        speculative: drafter ? mtp(2) : undefined,
      })
      const begin = () => ({ model: new KvModel(setup, tally), real: new KvCacheManager(options, hashBlock) })
      fc.modelRun(begin, calls)
    }),
    { numRuns },
  )
  return tally
}

describe('kv cache manager', () => {
  it('finds, hands out and forgets the very blocks that a model of plain maps does (29) (30) (31) (34) (36) (37) (47)', () => {
    const { hits, revived, shared, evictions, duplicates, collisions } = explore(fc.constant(hashBlock), true, 400)
    expect(Math.min(hits, revived, shared, evictions)).toBeGreaterThan(40)
    expect(duplicates).toBeGreaterThan(10)
    expect(collisions).toBe(0)
  })

  it('takes a collision of hashes for a miss, however weak the hash is (33)', () => {
    const { hits, collisions } = explore(weakHash, true, 400)
    expect(Math.min(hits, collisions)).toBeGreaterThan(40)
  })

  it('keeps to the same law of blocks and tables without prefix caching (29)', () => {
    expect(explore(fc.constant(hashBlock), false, 100)).toMatchObject({ hits: 0, shared: 0, evictions: 0 })
  })
})
