/**
 * The laws that vLLM's tests of block pool and prefix cache state, for ours; the test that states it there is named in brackets.
 * Where we differ on purpose the title says how. Blocks count from 0: there is no null block.
 */

import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE, blocksNeeded, slotsNeeded } from '../../../../src/core/cost.ts'
import { hashBlock, saltHash } from '../../../../src/core/kv/blockHash.ts'
import { FreeBlockList } from '../../../../src/core/kv/freeBlockList.ts'
import type { KvCacheManager } from '../../../../src/core/kv/kvCacheManager.ts'
import type { Request } from '../../../../src/core/request.ts'
import { CACHED_BLOCK, SHARED_BLOCK } from '../../../../src/protocol/blockMap.ts'
import {
  compute,
  drafterManager,
  kvManager,
  requestOf,
  serve,
  spell,
  spellOn,
  visit,
} from '../../../helpers/kvFixtures.ts'

/** Admits a request without computing anything. */
function admit(kv: KvCacheManager, request: Request): void {
  kv.admit(request, kv.findCached(request))
  kv.allocate(request.id, request.tokens.length)
}

function commit(request: Request, letter: string, count: number): void {
  request.tokens.push(...spellOn(request.tokens, letter, count))
}

describe('prefix cache', () => {
  it('a second prompt takes over the full blocks of the first and computes the rest [test_prefill]', () => {
    const kv = kvManager(10)
    const common = spell('ABC')
    const first = requestOf(0, [...common, 3, 3, 3, 3, 3, 3, 3])
    expect(serve(kv, first).tokens).toBe(0)
    expect(kv.table(0)).toEqual([0, 1, 2, 3])
    expect(serve(kv, requestOf(1, [...common, 4, 4, 4, 4, 4]))).toMatchObject({
      tokens: 48,
      blocks: [0, 1, 2],
      held: 3,
    })
    expect(kv.table(1)).toEqual([0, 1, 2, 4])
    expect([...kv.blockOwners().slice(0, 5)]).toEqual([SHARED_BLOCK, SHARED_BLOCK, SHARED_BLOCK, 0, 1])
    kv.release(0)
    kv.release(1)
    expect(kv.freeBlocks).toBe(10)
    // Partial blocks are reused first, then untouched ones, then the common prefix from its tail on.
    expect(serve(kv, requestOf(2, [...common, 3, 3, 3, 3, 3, 3]))).toMatchObject({ tokens: 48, held: 0 })
    expect(kv.table(2)).toEqual([0, 1, 2, 4])
    kv.release(2)
    serve(kv, requestOf(3, spell('QRSTUVWXYZ')))
    expect(kv.table(3)).toEqual([4, 3, 5, 6, 7, 8, 9, 2, 1, 0])
    kv.release(3)
    expect(kv.findCached(requestOf(4, [...common, 5])).tokens).toBe(0)
  })

  it('decoding fills the last block before it takes another, and registers what it filled [test_decode]', () => {
    const kv = kvManager(10)
    const request = requestOf(0, spell('ABCD', 55))
    serve(kv, request)
    expect(kv.table(0).length).toBe(4)
    commit(request, 'D', 4)
    compute(kv, request)
    expect(kv.table(0).length).toBe(4)
    commit(request, 'D', 15)
    compute(kv, request)
    expect(kv.table(0).length).toBe(5)
    expect(kv.findCached(requestOf(1, spell('ABCDE'))).tokens).toBe(64)
  })

  it('evicts the tail of the least recently used chain first; what is touched is spared (36) [test_evict]', () => {
    const kv = kvManager(10)
    const last = 5 * BLOCK_SIZE + 7
    serve(kv, requestOf(0, spell('ABCDEF', last)))
    serve(kv, requestOf(1, spell('XYZ')))
    expect([kv.table(0).length, kv.table(1).length]).toEqual([6, 3])
    kv.release(0)
    kv.release(1)
    expect(kv.freeBlocks).toBe(10)
    expect(serve(kv, requestOf(2, spell('ABQ', 33)))).toMatchObject({ tokens: 32, blocks: [0, 1] })
    // The partial block of the first request comes first; vLLM would take the one never used.
    expect(kv.table(2)).toEqual([0, 1, 5])
    serve(kv, requestOf(3, spell('RSTU')))
    expect(kv.table(3)).toEqual([9, 4, 3, 2])
    expect(kv.findCached(requestOf(4, spell('XYZQ'))).tokens).toBe(48)
  })

  it('a block in reuse no longer answers for its old content [test_hash_block_correct_reuse]', () => {
    const kv = kvManager(1)
    visit(kv, requestOf(0, spell('A')))
    expect(kv.findCached(requestOf(1, spell('AB'))).blocks).toEqual([0])
    serve(kv, requestOf(1, spell('B', 15)))
    expect(kv.findCached(requestOf(2, spell('AB'))).tokens).toBe(0)
    kv.release(1)
    expect(kv.blockOwners()).not.toContain(CACHED_BLOCK)
  })

  it('blocks just found are not handed out to the request that found them (31) [test_computed_blocks_not_evicted]', () => {
    const kv = kvManager(2)
    visit(kv, requestOf(0, spell('A')))
    visit(kv, requestOf(1, spell('X')))
    // Block 0 is the first to be reused: taken up by the hit, it is not.
    expect(serve(kv, requestOf(2, spell('AB')))).toMatchObject({ tokens: 16, held: 0 })
    expect(kv.table(2)).toEqual([0, 1])
  })

  it('full blocks are registered once, and a partial one when it is full [test_cache_blocks]', () => {
    const kv = kvManager(10)
    const request = requestOf(0, spell('ABC', 40))
    serve(kv, request)
    kv.register(request, 40)
    expect(kv.findCached(requestOf(1, spell('ABCD'))).tokens).toBe(32)
    commit(request, 'C', 8)
    compute(kv, request)
    expect(kv.findCached(requestOf(1, spell('ABCD'))).tokens).toBe(48)
  })

  it('requests of another salt share nothing, of the same salt all (34) [test_cache_key_salting]', () => {
    const kv = kvManager(10)
    const request = requestOf(0, spell('ABCD', 59), 'salt1')
    serve(kv, request)
    commit(request, 'D', 5)
    compute(kv, request)
    expect(kv.findCached(requestOf(1, spell('ABCX'), 'salt1')).tokens).toBe(48)
    expect(kv.findCached(requestOf(2, spell('ABCX'), 'salt2')).tokens).toBe(0)
    expect(kv.blockKey(requestOf(2, spell('ABCX'), 'salt2'), 0)).not.toBe(request.blockHashes[0])
  })

  it('a prompt that does not fit touches no block it found (37) [test_prefill_not_enough_free_blocks_with_computed_blocks]', () => {
    const kv = kvManager(10)
    serve(kv, requestOf(0, spell('ABC')))
    visit(kv, requestOf(1, spell('ABCDEF')))
    serve(kv, requestOf(2, spell('UVWXYZ')))
    const wish = requestOf(3, spell('ABCDEFG'))
    const before = [...kv.blockOwners()]
    const cached = kv.findCached(wish)
    expect(cached).toMatchObject({ tokens: 64, held: 3 })
    expect(blocksNeeded(wish.tokens.length) - cached.held).toBeGreaterThan(kv.freeBlocks)
    expect([...kv.blockOwners()]).toEqual(before)
    expect(kv.exclusiveBlocks(0)).toBe(3)
  })

  it('a reset forgets all; unlike vLLM it may come while requests run (47) [test_reset_prefix_cache]', () => {
    const kv = kvManager(10)
    serve(kv, requestOf(0, spell('ABCD', 55)))
    serve(kv, requestOf(1, spell('ABCDX', 66)))
    kv.reset()
    kv.checkIntegrity()
    expect([kv.table(0), kv.table(1)]).toEqual([
      [0, 1, 2, 3],
      [0, 1, 2, 4, 5],
    ])
    expect(kv.findCached(requestOf(2, spell('ABCDX', 66))).tokens).toBe(0)
    kv.release(0)
    kv.release(1)
    expect(kv.freeBlocks).toBe(10)
    expect(kv.blockOwners()).not.toContain(CACHED_BLOCK)
  })

  it('of equal blocks each is forgotten for itself, the content with the last [test_maybe_evict_cached_block]', () => {
    const kv = kvManager(4)
    const twins = [requestOf(0, spell('AB', 17)), requestOf(1, spell('AC', 17))]
    for (const twin of twins) admit(kv, twin)
    for (const twin of twins) compute(kv, twin)
    for (const { id } of twins) kv.release(id)
    const found = (): readonly number[] => kv.findCached(requestOf(9, spell('AD'))).blocks
    const taker = requestOf(2, [1])
    admit(kv, taker)
    expect(found()).toEqual([0])
    kv.allocate(2, 3 * BLOCK_SIZE)
    expect(found()).toEqual([2])
    kv.allocate(2, 4 * BLOCK_SIZE)
    expect(found()).toEqual([])
  })

  it('one block per content is found, and gone after it is evicted [test_block_lookup_cache_single_block_per_key]', () => {
    const kv = kvManager(3)
    const blocks = ['A', 'B', 'C'].map((letter, id) => visit(kv, requestOf(id, spell(letter)))[0])
    const found = (letter: string) => kv.findCached(requestOf(9, spell(`${letter}Q`))).blocks[0]
    expect(['A', 'B', 'C', 'D'].map(found)).toEqual([...blocks, undefined])
    admit(kv, requestOf(3, [1]))
    expect(['A', 'B', 'C'].map(found)).toEqual([undefined, blocks[1], blocks[2]])
  })

  it('of several blocks per content one is found until all are evicted [test_block_lookup_cache_multi_blocks_per_key]', () => {
    const kv = kvManager(4)
    const requests = ['AA', 'BB', 'AA', 'BB'].map((letters, id) => requestOf(id, spell(letters, BLOCK_SIZE)))
    for (const request of requests) admit(kv, request)
    for (const request of requests) compute(kv, request)
    const found = (letter: string) => kv.findCached(requestOf(9, spell(`${letter}Q`))).blocks[0]
    expect([found('A'), found('B')]).toEqual([0, 1])
    for (const { id } of requests) kv.release(id)
    const taker = requestOf(4, [1])
    admit(kv, taker)
    const seen = [1, 2, 3, 4].map((blocks) => {
      kv.allocate(4, blocks * BLOCK_SIZE)
      return [found('A'), found('B')]
    })
    expect(seen).toEqual([
      [2, 1],
      [2, 3],
      [undefined, 3],
      [undefined, undefined],
    ])
  })

  it('with a drafter no matched block is dropped: the key holds the token after it [test_eagle_enabled_removes_last_block]', () => {
    const kv = drafterManager(10)
    visit(kv, requestOf(0, spell('AAA')))
    // The last block has no token after it; the two before it stay. vLLM keeps one.
    expect(kv.findCached(requestOf(1, spell('AAA'))).tokens).toBe(32)
    expect(kv.findCached(requestOf(1, spell('AAB'))).tokens).toBe(16)
  })

  it('with a drafter a partial block vouches for the full one before it [test_eagle_with_partial_blocks]', () => {
    const kv = drafterManager(10)
    visit(kv, requestOf(0, spell('AAA', 37)))
    expect(kv.findCached(requestOf(1, spell('AAA', 37))).tokens).toBe(32)
  })
})

describe('block hash', () => {
  it('is of the ids and of all before them [test_hash_block_tokens]', () => {
    const [a, b] = [spell('A'), spell('B')]
    const root = saltHash(undefined)
    expect(hashBlock(root, a, 0, 16)).toBe(hashBlock(root, [...b, ...a], 16, 32))
    expect(hashBlock(root, a, 0, 16)).not.toBe(hashBlock(hashBlock(root, b, 0, 16), a, 0, 16))
    expect(hashBlock(root, a, 0, 16)).not.toBe(hashBlock(root, a.toReversed(), 0, 16))
    expect(hashBlock(root, a, 0, 15)).not.toBe(hashBlock(root, a, 0, 16))
    expect(new Set([undefined, '', 'a', 'b', 'ab', 'ba'].map(saltHash)).size).toBe(6)
  })

  it('hardly ever collides: a thousand blocks that differ in one id, and one block after each of them', () => {
    const hashes = new Set<number>()
    for (let id = 0; id < 1000; id++) {
      const parent = hashBlock(saltHash(undefined), [id, ...spell('A', 15)], 0, 16)
      hashes.add(parent).add(hashBlock(parent, spell('A'), 0, 16))
    }
    expect(hashes.size).toBeGreaterThan(1995)
    for (const hash of hashes) expect(hash).toBe(hash | 0)
  })
})

describe('free block list', () => {
  it('begins with all blocks in order [test_free_kv_cache_block_queue_initialization]', () => {
    expect([...new FreeBlockList(0)]).toEqual([])
    expect([...new FreeBlockList(1)]).toEqual([0])
    const list = new FreeBlockList(5)
    expect([...list]).toEqual([0, 1, 2, 3, 4])
    expect(list.size).toBe(5)
    list.checkIntegrity()
  })

  it('pops the front, removes from anywhere, and appends to either end [test_free_kv_cache_block_queue_operations]', () => {
    const list = new FreeBlockList(5)
    expect(list.popFront()).toBe(0)
    list.remove(2)
    list.remove(4)
    expect([...list]).toEqual([1, 3])
    expect([0, 1, 2, 3, 4, 5].filter((block) => list.has(block))).toEqual([1, 3])
    list.pushBack(2)
    list.pushFront(0)
    expect([...list]).toEqual([0, 1, 3, 2])
    list.checkIntegrity()
    expect(() => list.remove(4)).toThrow('block 4 is free')
    expect(() => list.pushBack(3)).toThrow('block 3 is not free yet')
    for (const block of [0, 1, 3, 2]) expect(list.popFront()).toBe(block)
    expect(() => list.popFront()).toThrow('a block is free')
    expect(list.size).toBe(0)
    list.checkIntegrity()
  })

  it('keeps the order of many appended one by one [test_free_kv_cache_block_queue_append_n]', () => {
    const list = new FreeBlockList(6)
    for (const block of [0, 1, 2, 3, 4, 5]) list.remove(block)
    for (const block of [3, 0, 5]) list.pushBack(block)
    for (const block of [2, 4]) list.pushBack(block)
    expect([...list]).toEqual([3, 0, 5, 2, 4])
  })

  it('pops many in their order and keeps the rest [test_free_kv_cache_block_queue_popleft_n]', () => {
    const list = new FreeBlockList(6)
    for (const block of [1, 3, 5, 4, 0, 2]) {
      list.remove(block)
      list.pushBack(block)
    }
    expect([list.popFront(), list.popFront(), list.popFront()]).toEqual([1, 3, 5])
    expect([...list]).toEqual([4, 0, 2])
    expect(list.size).toBe(3)
  })
})

describe('room', () => {
  it('look-ahead slots of drafts take blocks like tokens [test_allocate_with_lookahead]', () => {
    const blocks = (tokens: number, drafts: number): number => {
      const kv = kvManager(10)
      const request = requestOf(0, spell('A', 15))
      kv.admit(request, kv.findCached(request))
      kv.allocate(0, slotsNeeded(0, tokens, drafts, request.maxTotal))
      return kv.table(0).length
    }
    // The first draft pass runs on a row of the step; each one after it needs a slot.
    expect([blocks(15, 0), blocks(15, 2), blocks(15, 3), blocks(13, 4), blocks(14, 4)]).toEqual([1, 1, 2, 1, 2])
  })

  it('a whole sequence fits or not, be its first chunk as small as may be [test_can_fit_full_sequence_*]', () => {
    const kv = kvManager(8)
    serve(kv, requestOf(0, spell('UVWX')))
    const long = requestOf(1, spell('ABCDE'))
    expect(blocksNeeded(BLOCK_SIZE) - kv.table(1).length).toBeLessThanOrEqual(kv.freeBlocks)
    expect(blocksNeeded(long.tokens.length) - kv.table(1).length).toBeGreaterThan(kv.freeBlocks)
  })

  it('of a found prefix only what others hold comes for free: free cached blocks are taken too [test_can_fit_full_sequence_*]', () => {
    const kv = kvManager(8)
    serve(kv, requestOf(0, spell('ABC')))
    visit(kv, requestOf(1, spell('ABCDE')))
    serve(kv, requestOf(2, spell('XY')))
    // Three blocks are free, two of them cached; three more are held.
    const fits = (letters: string): boolean => {
      const request = requestOf(3, spell(letters))
      return blocksNeeded(request.tokens.length) - kv.table(3).length - kv.findCached(request).held <= kv.freeBlocks
    }
    expect([fits('ABCDEF'), fits('ABCDEFG'), fits('QRS'), fits('QRST')]).toEqual([true, false, true, false])
    const request = requestOf(3, spell('ABCDEF'))
    serve(kv, request)
    expect(kv.freeBlocks).toBe(0)
  })
})
