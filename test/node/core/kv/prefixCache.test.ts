/** What the prefix cache finds, shares, keeps and forgets, case by case. A letter is a block of tokens: see `spell`. */

import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE, blocksNeeded } from '../../../../src/core/cost.ts'
import { KvCacheManager } from '../../../../src/core/kv/kvCacheManager.ts'
import { CACHED_BLOCK, FREE_BLOCK, SHARED_BLOCK } from '../../../../src/protocol/blockMap.ts'
import {
  compute,
  drafterManager,
  found,
  kvManager,
  kvOptions,
  requestOf,
  serve,
  spell,
  spellOn,
  visit,
} from '../../../helpers/kvFixtures.ts'

describe('a hit', () => {
  it('leaves one known token at least to compute, with a drafter or without (35)', () => {
    for (const kv of [kvManager(8), drafterManager(8)]) {
      visit(kv, requestOf(0, spell('ABC')))
      expect(found(kv, spell('AB')).length).toBe(1)
      expect(found(kv, spell('ABC', 2 * BLOCK_SIZE + 1)).length).toBe(2)
      expect(found(kv, spell('A', 1))).toEqual([])
    }
  })

  it('reaches as far as tokens were both committed and computed (32)', () => {
    const kv = kvManager(8)
    const request = requestOf(0, spell('ABCD'))
    kv.admit(request, kv.findCached(request))
    kv.allocate(0, request.tokens.length)
    expect(found(kv, spell('ABCDE'))).toEqual([])
    kv.register(request, 2 * BLOCK_SIZE + 15)
    expect(found(kv, spell('ABCDE'))).toEqual([0, 1])
    // Three accepted drafts went past the end of a text: their KV is there, but they were never committed.
    const cut = requestOf(1, spell('XY', 30))
    kv.admit(cut, kv.findCached(cut))
    kv.allocate(1, 33)
    kv.register(cut, 33)
    expect(found(kv, spell('XYZ'))).toEqual([4])
  })

  it('takes in a full block with a drafter only once the token after it is committed (32)', () => {
    const kv = drafterManager(8)
    const request = requestOf(0, spell('AB'))
    serve(kv, request)
    expect(found(kv, spell('ABC'))).toEqual([0])
    request.tokens.push(...spellOn(request.tokens, 'C', 1))
    kv.register(request, 2 * BLOCK_SIZE)
    expect(found(kv, spell('ABC'))).toEqual([0, 1])
  })

  it('is of the whole prefix: an equal block after another prefix is another block (34)', () => {
    const kv = kvManager(8)
    visit(kv, requestOf(0, spell('ABC')))
    expect(found(kv, spell('ABX')).length).toBe(2)
    expect(found(kv, spell('XBC'))).toEqual([])
    expect(found(kv, spell('BCX'))).toEqual([])
  })

  it('is of one salt: no salt, an empty one and each other one are apart (34)', () => {
    const kv = kvManager(12)
    const salts = [undefined, '', 'one', 'two']
    const tables = salts.map((salt, id) => visit(kv, requestOf(id, spell('AB', 20), salt)))
    expect(new Set(tables.map(([first]) => first)).size).toBe(salts.length)
    for (const [i, salt] of salts.entries()) {
      expect(found(kv, spell('AC'), salt)).toEqual(tables[i]?.slice(0, 1))
    }
    expect(found(kv, spell('AC'), 'three')).toEqual([])
  })

  it('prefers a block that somebody holds, which costs no free one', () => {
    const kv = kvManager(4)
    const [first, second] = [requestOf(0, spell('AB', 20)), requestOf(1, spell('AC', 20))]
    // Both begin before either has computed anything: the same content twice.
    for (const one of [first, second]) kv.admit(one, kv.findCached(one))
    for (const one of [first, second]) compute(kv, one)
    kv.release(0)
    expect(kv.findCached(requestOf(2, spell('AD')))).toEqual({ tokens: BLOCK_SIZE, blocks: [2], held: 1 })
    kv.release(1)
    expect(kv.findCached(requestOf(2, spell('AD')))).toMatchObject({ tokens: BLOCK_SIZE, held: 0 })
  })

  it('is nothing when prefix caching is off', () => {
    const kv = new KvCacheManager(kvOptions(4, { enablePrefixCaching: false }))
    const request = requestOf(0, spell('ABC'))
    visit(kv, request)
    expect(kv.findCached(request)).toEqual({ tokens: 0, blocks: [], held: 0 })
    expect(kv.blockKey(request, 0)).toBeUndefined()
    expect([...kv.blockOwners()]).toEqual([FREE_BLOCK, FREE_BLOCK, FREE_BLOCK, FREE_BLOCK])
  })

  it('must be taken up before its blocks are given to others', () => {
    const kv = kvManager(2)
    visit(kv, requestOf(0, spell('AB', 20)))
    const late = requestOf(1, spell('AC', 20))
    const cached = kv.findCached(late)
    expect(cached.tokens).toBe(BLOCK_SIZE)
    visit(kv, requestOf(2, spell('XY')))
    expect(() => kv.admit(late, cached)).toThrow('still holds tokens of request 1')
    expect(kv.freeBlocks).toBe(2)
  })
})

describe('a hash', () => {
  it('of equal value for other content is a miss: the first content stays, the other is not registered (33)', () => {
    const kv = kvManager(8, () => 0)
    visit(kv, requestOf(0, spell('AB', 20)))
    expect(found(kv, spell('AC'))).toEqual([0])
    // X collides with A, and Y is not findable after X.
    serve(kv, requestOf(1, spell('XYZ', 40)))
    expect(found(kv, spell('XYZ'))).toEqual([])
    expect(found(kv, spell('AC'))).toEqual([0])
    kv.release(1)
    expect(kv.blockOwners().filter((owner) => owner === CACHED_BLOCK).length).toBe(1)
  })

  it('of equal value is a miss for the same ids under another salt or after another block (33) (34)', () => {
    const kv = kvManager(8, () => 0)
    visit(kv, requestOf(0, spell('A')))
    expect(found(kv, spell('AB'), 's')).toEqual([])
    expect(found(kv, spell('AAB'))).toEqual([0])
  })

  it('is one for two requests where they can share the block, and undefined where no hit may reach', () => {
    const kv = drafterManager(8)
    const [a, b, c] = [requestOf(0, spell('ABC', 33)), requestOf(1, spell('ABX', 33)), requestOf(2, spell('AC', 33))]
    expect(kv.blockKey(a, 0)).toBe(kv.blockKey(b, 0))
    // The token after the second block differs, and so does what the drafter keeps of its last position.
    expect(kv.blockKey(a, 1)).not.toBe(kv.blockKey(b, 1))
    expect(kv.blockKey(a, 0)).not.toBe(kv.blockKey(c, 0))
    expect(kv.blockKey(a, 2)).toBeUndefined()
    const plain = kvManager(8)
    const again = [requestOf(0, spell('ABC', 33)), requestOf(1, spell('ABX', 33))] as const
    expect(plain.blockKey(again[0], 1)).toBe(plain.blockKey(again[1], 1))
  })
})

describe('a shared block', () => {
  it('is held once by every table it is in, and owned by nobody alone (30)', () => {
    const kv = kvManager(8)
    serve(kv, requestOf(0, spell('AB', 20)))
    serve(kv, requestOf(1, spell('AC', 20)))
    serve(kv, requestOf(2, spell('AD', 20)))
    expect([...kv.blockOwners().slice(0, 5)]).toEqual([SHARED_BLOCK, 0, 1, 2, FREE_BLOCK])
    expect([0, 1, 2].map((id) => kv.exclusiveBlocks(id))).toEqual([1, 1, 1])
    expect(kv.usedBlocks).toBe(4)
    kv.release(0)
    kv.release(2)
    expect(kv.blockOwners()[0]).toBe(1)
    expect(kv.exclusiveBlocks(1)).toBe(2)
    kv.release(1)
    expect(kv.blockOwners()[0]).toBe(CACHED_BLOCK)
    expect(kv.freeBlocks).toBe(8)
  })

  it('is not evicted while anybody holds it, however short blocks are (31)', () => {
    const kv = kvManager(4)
    serve(kv, requestOf(0, spell('AB', 20)))
    serve(kv, requestOf(1, spell('AC', 20)))
    kv.release(0)
    visit(kv, requestOf(2, spell('XY')))
    expect(kv.table(1)).toEqual([0, 2])
    expect(found(kv, spell('AZ'))).toEqual([0])
  })
})

describe('a failed allocation', () => {
  it('changes nothing: blocks, holders, what is cached and the order of reuse (37)', () => {
    const run = (fail: boolean): number[][] => {
      const kv = kvManager(6)
      visit(kv, requestOf(0, spell('ABC')))
      serve(kv, requestOf(1, spell('AX', 20)))
      const wish = requestOf(2, spell('ABCDEFGH'))
      if (fail) {
        const before = [...kv.blockOwners()]
        const cached = kv.findCached(wish)
        expect(blocksNeeded(wish.tokens.length) - cached.held).toBeGreaterThan(kv.freeBlocks)
        expect(() => kv.allocate(1, 100 * BLOCK_SIZE)).toThrow('free blocks')
        expect(() => kv.allocate(2, 1)).toThrow('request 2 has a block table')
        expect([...kv.blockOwners()]).toEqual(before)
        expect(kv.findCached(wish)).toEqual(cached)
      }
      serve(kv, requestOf(3, spell('VWXY')))
      return [[...kv.blockOwners()], [...kv.table(3)], [...found(kv, spell('ABCD'))]]
    }
    expect(run(true)).toEqual(run(false))
  })
})

describe('reset', () => {
  it('forgets every prefix while requests run: tables stay, and only new chains can be found again (47)', () => {
    const kv = kvManager(12)
    const runner = requestOf(0, spell('AB', 20))
    serve(kv, runner)
    serve(kv, requestOf(1, spell('AC', 20)))
    visit(kv, requestOf(2, spell('X')))
    const tables = [[...kv.table(0)], [...kv.table(1)]]
    kv.reset()
    kv.checkIntegrity()
    expect([kv.table(0), kv.table(1)]).toEqual(tables)
    expect(kv.blockOwners().includes(CACHED_BLOCK)).toBe(false)
    expect(kv.blockOwners()[0]).toBe(SHARED_BLOCK)
    expect(found(kv, spell('AB'))).toEqual([])
    expect(found(kv, spell('XY'))).toEqual([])
    // The front of the chain is forgotten, so what the request goes on to compute is not findable either.
    runner.tokens.push(...spellOn(runner.tokens, 'B', 20))
    compute(kv, runner)
    expect(found(kv, spell('ABC'))).toEqual([])
    kv.release(0)
    kv.release(1)
    expect(kv.freeBlocks).toBe(12)
    visit(kv, requestOf(3, spell('ABC')))
    expect(found(kv, spell('ABCD')).length).toBe(3)
  })
})

describe('with a drafter', () => {
  it('two prompts that part at a block border share no block whose next token differs (39)', () => {
    const kv = drafterManager(12)
    const a = visit(kv, requestOf(0, spell('PQA', 40)))
    const c = visit(kv, requestOf(1, spell('PQC', 40)))
    // C shares P with A. Q is computed anew: A's drafter saw the first token of A after it.
    expect(c[0]).toBe(a[0])
    expect(c[1]).not.toBe(a[1])
    const d = found(kv, spell('PQCD'))
    expect(d).toEqual(c.slice(0, 2))
    expect(d).not.toContain(a[1])
    expect(found(kv, spell('PQAD'))).toEqual(a.slice(0, 2))
    expect(found(kv, spell('PQX'))).toEqual(a.slice(0, 1))
  })

  it('without one they do', () => {
    const kv = kvManager(12)
    const a = visit(kv, requestOf(0, spell('PQA', 40)))
    expect(visit(kv, requestOf(1, spell('PQC', 40))).slice(0, 2)).toEqual(a.slice(0, 2))
  })
})
