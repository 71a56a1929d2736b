import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { numSpeculativeTokens } from '../../../../src/core/cost.ts'
import { Request, RunningRequest } from '../../../../src/core/request.ts'
import { BUDGET_RULES } from '../../../../src/core/schedule/budgetPolicy.ts'
import { SchedulingState } from '../../../../src/core/schedule/schedulingState.ts'
import { seal } from '../../../../src/core/schedule/seal.ts'
import { RequestAllocation } from '../../../../src/core/schedule/stepAllocation.ts'
import type { BudgetPolicy } from '../../../../src/protocol/stepRecord.ts'
import { cdiv } from '../../../../src/util/math.ts'
import { engineOptions, GREEDY, mtp, promptOf } from '../../../helpers/coreFixtures.ts'
import { rowsOf, SchedulerRig } from '../../../helpers/schedulerRig.ts'

/** A step in which `decoders` requests verify all their drafts while a prompt longer than B waits. */
function saturatedStep(policy: BudgetPolicy, B: number, S: number, drafts: number, decoders: number) {
  const options = engineOptions({
    maxNumBatchedTokens: B,
    maxNumSeqs: S,
    maxModelLen: 2 * B + 32,
    kvCacheTokens: 32 * S + 16 * cdiv(2 * B + 32, 16),
    speculative: mtp(drafts),
    budgetPolicy: policy,
  })
  const rig = new SchedulerRig(options)
  for (let id = 0; id < decoders; id++) rig.add(id, 1, 20)
  rig.step()
  rig.add(decoders, 2 * B, 1)
  return rig.step()
}

// Worst real rows of a step, by the arithmetic of FastDeploy's rules before and after PR #7438.
const WORST: readonly { B: number; S: number; k: number; uncharged: number; reserve: number }[] = [
  { B: 8192, S: 256, k: 1, uncharged: 8447, reserve: 7935 },
  { B: 1024, S: 256, k: 3, uncharged: 1789, reserve: 1277 },
  { B: 512, S: 16, k: 3, uncharged: 557, reserve: 557 },
  { B: 256, S: 32, k: 3, uncharged: 349, reserve: 349 },
  { B: 128, S: 16, k: 4, uncharged: 188, reserve: 188 },
]

describe('budget policies', () => {
  it.each(WORST)('B=$B S=$S k=$k: exact fills B (1), uncharged runs $uncharged rows, reserve $reserve', (worst) => {
    const { B, S, k } = worst
    expect(rowsOf(saturatedStep('exact', B, S, k, S - 1))).toBe(B)
    expect(rowsOf(saturatedStep('uncharged', B, S, k, S - 1))).toBe(worst.uncharged)
    expect(rowsOf(saturatedStep('reserve', B, S, k, S - 1))).toBe(worst.reserve)
  })

  it('uncharged overruns by the drafts of every decoding request, exactly', () => {
    const sizes = fc.record({
      S: fc.integer({ min: 2, max: 12 }),
      moreRows: fc.nat(80),
      drafts: fc.integer({ min: 0, max: 4 }),
    })
    fc.assert(
      fc.property(sizes, fc.nat(), ({ S, moreRows, drafts }, pick) => {
        const decoders = 1 + (pick % (S - 1))
        const output = saturatedStep('uncharged', S + moreRows, S, drafts, decoders)
        expect(output.rows.charged).toBe(S + moreRows)
        expect(rowsOf(output)).toBe(S + moreRows + decoders * drafts)
      }),
      { numRuns: 60 },
    )
  })

  const sizes = fc.record({ S: fc.integer({ min: 1, max: 40 }), drafts: fc.nat(4) })
  const rule = BUDGET_RULES.reserve
  const options = (B: number, S: number, drafts: number) =>
    engineOptions({ maxNumBatchedTokens: B, maxNumSeqs: S, speculative: mtp(drafts), budgetPolicy: 'reserve' })

  it("reserve's budget equals uncharged's for every B up to 512", () => {
    fc.assert(
      fc.property(sizes, fc.integer({ min: 40, max: 512 }), ({ S, drafts }, B) => {
        expect(rule.budget(options(B, S, drafts))).toBe(BUDGET_RULES.uncharged.budget(options(B, S, drafts)))
        expect(rule.budget(options(B, S, drafts))).toBe(B)
      }),
    )
    const at512 = saturatedStep('reserve', 512, 16, 3, 15)
    expect(rowsOf(at512)).toBe(512 + 15 * 3)
  })

  it('reserve never overruns for B >= 512 + S drafts, and leaves S rows for B >= 512 + S (drafts + 1)', () => {
    fc.assert(
      fc.property(sizes, fc.nat(300), fc.boolean(), fc.nat(), ({ S, drafts }, more, wide, pick) => {
        const B = 512 + S * (drafts + (wide ? 1 : 0)) + more
        const decoders = pick % S
        const rows = rowsOf(saturatedStep('reserve', B, S, drafts, decoders))
        expect(rows).toBeLessThanOrEqual(wide ? B - S : B)
      }),
      { numRuns: 60 },
    )
    // At the border itself, nothing to spare.
    expect(rowsOf(saturatedStep('reserve', 512 + 16 * 3 - 1, 16, 3, 15))).toBe(512 + 15 * 3)
    expect(rowsOf(saturatedStep('reserve', 512 + 16 * 3 - 4, 16, 3, 15))).toBeGreaterThan(512 + 16 * 3 - 4)
  })

  it('reserve gives no row beyond its budget, and serves everybody, even where that is less than S', () => {
    const rig = new SchedulerRig(engineOptions({ ...options(600, 600, 0), kvCacheTokens: 9600, maxModelLen: 16 }))
    const requests = Array.from({ length: 600 }, (_, id) => rig.add(id, 1, 3))
    while (rig.scheduler.hasUnfinished) expect(rig.step().rows.charged).toBeLessThanOrEqual(512)
    expect(requests.every(({ outputLength }) => outputLength === 3)).toBe(true)
  })

  it('without speculation a decode costs one row and no other speculative field is read (5)', () => {
    const base = engineOptions({ speculative: undefined, maxNumBatchedTokens: 8, maxNumSeqs: 4 })
    for (const budgetPolicy of ['exact', 'reserve', 'uncharged'] as const) {
      const guarded = new Proxy(
        { ...base, budgetPolicy },
        {
          get(target, name, receiver) {
            if (/spec|draft/i.test(String(name)) && name !== 'speculative') throw new Error(`read ${String(name)}`)
            return Reflect.get(target, name, receiver)
          },
        },
      )
      expect(numSpeculativeTokens(guarded)).toBe(0)
      const rig = new SchedulerRig(guarded)
      for (let id = 0; id < 3; id++) rig.add(id, 1, 20)
      rig.step()
      for (let step = 0; step < 5; step++) {
        const output = rig.step()
        expect(output.rows).toEqual({ base: 3, draft: 0, prefill: 0, sampled: 3, kvPass: 0, charged: 3 })
        expect(output.requests.every(({ n, k, m }) => n === 1 && k === 0 && m === 0)).toBe(true)
      }
    }
  })
})

describe('seal', () => {
  const options = engineOptions({ maxNumBatchedTokens: 8, maxNumSeqs: 2, speculative: mtp(3) })

  /** An allocation of a step: a decoding request with k drafts, or a chunk of a prompt that is longer. */
  function allocation(n: number, k: number, prefill: boolean): RequestAllocation {
    const spec = { id: n, promptTokenIds: promptOf(20, 0), maxTotal: 40, sampling: GREEDY, priority: 0 }
    const request = new Request({ ...spec, cacheSalt: undefined }, new SchedulingState(0, 1, 0, 1))
    return Object.assign(new RequestAllocation(new RunningRequest(request, 0, 1, 0, []), n, prefill, false), { k })
  }
  const decode = () => allocation(4, 3, false)
  const chunk = (n: number) => allocation(n, 0, true)

  it('recounts the rows', () => {
    const rows = seal(1, { allocations: [decode(), chunk(4)], charged: 8 }, BUDGET_RULES.exact, options)
    expect(rows).toEqual({ base: 1, draft: 3, prefill: 4, sampled: 4, kvPass: 0, charged: 8 })
    const followed = Object.assign(decode(), { inKvPass: true })
    const late = Object.assign(chunk(4), { catchUp: 3 })
    expect(seal(1, { allocations: [followed, late], charged: 8 }, BUDGET_RULES.exact, options).kvPass).toBe(7)
  })

  it('refuses more rows of the KV pass than B', () => {
    const followed = Object.assign(decode(), { inKvPass: true })
    const late = Object.assign(chunk(4), { catchUp: 5 })
    expect(() => seal(2, { allocations: [followed, late], charged: 8 }, BUDGET_RULES.exact, options)).toThrow(
      "9 rows of the drafter's KV pass exceed maxNumBatchedTokens 8",
    )
  })

  it('refuses a charge that is not the rows (3)', () => {
    expect(() => seal(1, { allocations: [decode()], charged: 1 }, BUDGET_RULES.exact, options)).toThrow(
      expect.objectContaining({ code: 'BUDGET_EXCEEDED', details: { step: 1, charged: 1, due: 4, budget: 8 } }),
    )
  })

  it('refuses more rows than B under exact, even when each is charged (1) (3)', () => {
    const step = { allocations: [decode(), chunk(5)], charged: 9 }
    expect(() => seal(3, step, BUDGET_RULES.exact, options)).toThrow(
      expect.objectContaining({ code: 'BUDGET_EXCEEDED' }),
    )
    expect(() => seal(3, step, { ...BUDGET_RULES.exact, budget: () => 9 }, options)).toThrow(
      '9 rows exceed maxNumBatchedTokens 8',
    )
  })

  it('refuses more sampled rows than R', () => {
    const narrow = { ...options, speculative: mtp(1) }
    const step = { allocations: [decode(), decode()], charged: 8 }
    expect(() => seal(1, step, BUDGET_RULES.exact, narrow)).toThrow('8 sampled rows exceed 4')
  })

  it('lets a plan pass whose drafts are not charged', () => {
    const step = { allocations: [decode(), chunk(5)], charged: 6 }
    const rows = seal(1, step, BUDGET_RULES.uncharged, { ...options, budgetPolicy: 'uncharged' })
    expect(rows.base + rows.draft + rows.prefill).toBe(9)
  })
})
