import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Savings } from '../../../../src/core/speculation/savings.ts'

const PART = 0.01

describe('savings', () => {
  it('never hold more than was saved and half of what probes brought beyond what was expected', () => {
    const events = fc.array(
      fc.oneof(
        fc.constant({ kind: 'step' } as const),
        fc.record({ kind: fc.constant('pay' as const), value: fc.double({ min: 0, max: 5, noNaN: true }) }),
        fc.record({ kind: fc.constant('settle' as const), value: fc.double({ min: -40, max: 40, noNaN: true }) }),
      ),
      { maxLength: 200 },
    )
    fc.assert(
      fc.property(events, (all) => {
        const savings = new Savings(PART)
        let most = 0
        for (const event of all) {
          const before = savings.balance
          if (event.kind === 'step') {
            savings.tick()
            most += PART
          } else if (event.kind === 'pay') {
            savings.pay(event.value)
            most -= event.value
            expect(savings.balance).toBeCloseTo(before - event.value, 9)
          } else {
            savings.settle(event.value)
            most += event.value > 0 ? event.value / 2 : Math.max(event.value, -1)
            if (event.value < 0) expect(savings.balance).toBeCloseTo(before + Math.max(event.value, -1), 9)
          }
          expect(savings.balance).toBeLessThanOrEqual(Math.min(16, most + 1e-9))
          // What the limit cut off is gone: it cannot be spent later.
          most = Math.min(most, 16)
        }
      }),
    )
  })

  it('charge a step at most for bad luck, and give back half of good luck', () => {
    const savings = new Savings(PART)
    savings.settle(-30)
    expect(savings.balance).toBe(-1)
    savings.settle(4)
    expect(savings.balance).toBe(1)
  })
})
