import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Request } from '../../../../src/core/request.ts'
import { RequestQueue } from '../../../../src/core/schedule/requestQueue.ts'
import { compareSchedulingOrder, SchedulingState } from '../../../../src/core/schedule/schedulingState.ts'
import { GREEDY } from '../../../helpers/coreFixtures.ts'

function request(id: number, priority: number, clock: number): Request {
  const spec = { id, promptTokenIds: [1], maxTotal: 4, sampling: GREEDY, priority, cacheSalt: undefined }
  return new Request(spec, new SchedulingState(priority, id + 1, clock, 10))
}

const command = fc.oneof(
  { weight: 3, arbitrary: fc.record({ add: fc.integer({ min: -3, max: 3 }), rows: fc.nat(15) }) },
  { weight: 1, arbitrary: fc.record({ takeFront: fc.integer({ min: 1, max: 6 }) }) },
  { weight: 1, arbitrary: fc.record({ takeAt: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ putBack: fc.nat() }) },
)

describe('the waiting queue', () => {
  it('agrees with a sorted list under every sequence of calls: order, places, size (44)', () => {
    let longest = 0
    fc.assert(
      fc.property(fc.array(command, { minLength: 1, maxLength: 120, size: 'max' }), (commands) => {
        const queue = new RequestQueue()
        const gone: Request[] = []
        let model: Request[] = []
        let clock = 0
        let next = 0
        const take = (one: Request | undefined): void => {
          if (!one) return
          expect(queue.remove(one.id)).toBe(true)
          expect(queue.remove(one.id)).toBe(false)
          model = model.filter((other) => other !== one)
          gone.push(one)
        }
        const put = (one: Request): void => {
          queue.add(one)
          model = [...model, one].sort((a, b) => compareSchedulingOrder(a.schedulingState, b.schedulingState))
        }
        for (const call of commands) {
          if ('rows' in call) clock += call.rows
          if ('add' in call) put(request(next++, call.add, clock))
          else if ('takeFront' in call) for (let i = 0; i < call.takeFront; i++) take(queue.at(0))
          else if ('takeAt' in call) take(model[call.takeAt % (model.length || 1)])
          else if (gone.length > 0) put(...(gone.splice(call.putBack % gone.length, 1) as [Request]))
          expect(queue.size).toBe(model.length)
          expect([...queue]).toEqual(model)
          expect(queue.at(model.length)).toBeUndefined()
          model.forEach((one, place) => {
            expect(queue.at(place)).toBe(one)
          })
          longest = Math.max(longest, model.length)
        }
      }),
      { numRuns: 100 },
    )
    expect(longest).toBeGreaterThan(12)
  })

  it('gives a preempted request its old place back, before those that came later', () => {
    const queue = new RequestQueue()
    const [first, ...rest] = [0, 1, 2, 3].map((id) => request(id, 0, id))
    if (!first) throw new Error('there is a first request')
    queue.add(first)
    queue.remove(first.id)
    for (const one of rest) queue.add(one)
    queue.add(first)
    expect([...queue].map(({ id }) => id)).toEqual([0, 1, 2, 3])
  })

  it('takes no request twice', () => {
    const queue = new RequestQueue()
    const one = request(0, 0, 0)
    queue.add(one)
    expect(() => queue.add(one)).toThrow('waits once')
    expect(queue.size).toBe(1)
  })
})
