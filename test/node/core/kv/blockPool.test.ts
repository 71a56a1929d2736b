import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BlockPool } from '../../../../src/core/kv/blockPool.ts'

/** The pool as plain lists: holders per block, and the free blocks in the order of reuse. */
interface Model {
  readonly holders: number[]
  readonly free: number[]
}

class Command implements fc.Command<Model, BlockPool> {
  readonly #label: string
  readonly #action: (model: Model, pool: BlockPool) => void

  constructor(label: string, action: (model: Model, pool: BlockPool) => void) {
    this.#label = label
    this.#action = action
  }

  check = () => true

  run(model: Model, pool: BlockPool): void {
    this.#action(model, pool)
    pool.checkIntegrity()
    expect([...pool.order]).toEqual(model.free)
    expect(model.holders.map((_, block) => pool.holders(block))).toEqual(model.holders)
    expect(pool.free + model.holders.filter((count) => count > 0).length).toBe(pool.total)
  }

  toString = () => this.#label
}

const take = new Command('take', (model, pool) => {
  const block = model.free.shift()
  if (block === undefined) {
    expect(() => pool.take()).toThrow('a block is free')
    return
  }
  expect(pool.take()).toBe(block)
  model.holders[block] = 1
})

function hold(which: number): Command {
  return new Command(`hold(${which})`, (model, pool) => {
    const block = which % model.holders.length
    pool.hold(block)
    model.holders[block] = (model.holders[block] ?? 0) + 1
    if (model.free.includes(block)) model.free.splice(model.free.indexOf(block), 1)
  })
}

function release(which: number, keep: boolean): Command {
  return new Command(`release(${which}, ${keep})`, (model, pool) => {
    const block = which % model.holders.length
    const holders = (model.holders[block] ?? 0) - 1
    if (holders < 0) {
      expect(() => pool.release(block, keep)).toThrow(`block ${block} is held`)
      return
    }
    pool.release(block, keep)
    model.holders[block] = holders
    if (holders === 0 && keep) model.free.push(block)
    if (holders === 0 && !keep) model.free.unshift(block)
  })
}

describe('block pool', () => {
  it('agrees with plain lists under every sequence of calls: free and held add up, and the order of reuse is kept (29) (30)', () => {
    const block = fc.nat(19)
    const commands = fc.commands(
      [fc.constant(take), block.map(hold), fc.tuple(block, fc.boolean()).map(([which, keep]) => release(which, keep))],
      { maxCommands: 80, size: 'max' },
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 20 }), commands, (total, calls) => {
        const blocks = Array.from({ length: total }, (_, index) => index)
        fc.modelRun(
          () => ({ model: { holders: blocks.map(() => 0), free: blocks }, real: new BlockPool(total) }),
          calls,
        )
      }),
      { numRuns: 200 },
    )
  })

  it('knows the blocks it has and no others', () => {
    const pool = new BlockPool(2)
    for (const block of [-1, 2]) {
      expect(() => pool.hold(block)).toThrow('outside 0…1')
      expect(() => pool.release(block, true)).toThrow('outside 0…1')
    }
    expect(pool.free).toBe(2)
  })

  it('reuses a block at once when there is nothing worth keeping in it, and late when there is (36)', () => {
    const pool = new BlockPool(4)
    const [a, b] = [pool.take(), pool.take()]
    pool.release(b, false)
    pool.release(a, true)
    expect([...pool.order]).toEqual([1, 2, 3, 0])
  })

  it('takes a revived block out of the middle, whatever its neighbours (36)', () => {
    for (const revived of [0, 1, 2]) {
      const pool = new BlockPool(3)
      pool.hold(revived)
      expect([...pool.order]).toEqual([0, 1, 2].filter((block) => block !== revived))
      pool.release(revived, true)
      expect([...pool.order].at(-1)).toBe(revived)
    }
  })
})
