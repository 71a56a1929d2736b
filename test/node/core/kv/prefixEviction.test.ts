/** In which order the prefix cache gives its blocks away, case by case. A letter is a block of tokens: see `spell`. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../../src/core/cost.ts'
import {
  compute,
  drafterManager,
  found,
  kvManager,
  requestOf,
  serve,
  spell,
  visit,
} from '../../../helpers/kvFixtures.ts'

describe('eviction', () => {
  it('takes the least recently used prefix, and of a prefix its tail first (36)', () => {
    const kv = kvManager(6)
    visit(kv, requestOf(0, spell('ABC')))
    visit(kv, requestOf(1, spell('XYZ')))
    const left = (): [number, number] => [found(kv, spell('ABCD')).length, found(kv, spell('XYZD')).length]
    const seen: [number, number][] = [left()]
    const grower = requestOf(2, [0])
    kv.admit(grower, kv.findCached(grower))
    for (let blocks = 1; blocks <= 6; blocks++) {
      kv.allocate(2, blocks * BLOCK_SIZE)
      kv.checkIntegrity()
      seen.push(left())
    }
    expect(seen).toEqual([
      [3, 3],
      [2, 3],
      [1, 3],
      [0, 3],
      [0, 2],
      [0, 1],
      [0, 0],
    ])
  })

  it('spares what was used again since, taken out of the middle of the free blocks (36)', () => {
    const kv = kvManager(6)
    for (const [id, letter] of ['A', 'B', 'C'].entries()) visit(kv, requestOf(id, spell(letter + letter, 17)))
    visit(kv, requestOf(3, spell('BB', 17)))
    serve(kv, requestOf(4, spell('VWXYZ')))
    expect(['A', 'B', 'C'].map((letter) => found(kv, spell(`${letter}Q`)).length)).toEqual([0, 1, 0])
  })

  it('takes blocks without a prefix before any with one (36)', () => {
    const kv = kvManager(5)
    const [first = -1, second = -1] = visit(kv, requestOf(0, spell('AB', 20)))
    serve(kv, requestOf(1, spell('VWXY')))
    expect(kv.table(1)[0]).toBe(second)
    expect(kv.table(1)).not.toContain(first)
    expect(found(kv, spell('AZ'))).toEqual([first])
  })

  it('forgets a content with the last block that holds it', () => {
    const kv = kvManager(6)
    const [first, second] = [requestOf(0, spell('AB', 20)), requestOf(1, spell('AC', 20))]
    for (const one of [first, second]) kv.admit(one, kv.findCached(one))
    for (const one of [first, second]) compute(kv, one)
    kv.release(0)
    kv.release(1)
    const grower = requestOf(2, [0])
    kv.admit(grower, kv.findCached(grower))
    const seen = [1, 2, 3, 4, 5, 6].map((blocks) => {
      kv.allocate(2, blocks * BLOCK_SIZE)
      return found(kv, spell('AZ')).length
    })
    expect(seen).toEqual([1, 1, 1, 1, 1, 0])
  })

  it('never leaves a block findable whose prefix is gone, in whatever order requests come and go', () => {
    const visitOf = fc.record({ letters: fc.string({ unit: fc.constantFrom('A', 'B'), minLength: 1, maxLength: 5 }) })
    fc.assert(
      fc.property(fc.array(visitOf, { maxLength: 40 }), fc.boolean(), (visits, drafter) => {
        const kv = drafter ? drafterManager(6) : kvManager(6)
        // The integrity check asserts that every registered block's parent is registered.
        for (const [id, { letters }] of visits.entries()) visit(kv, requestOf(id, spell(letters)))
      }),
    )
  })
})
