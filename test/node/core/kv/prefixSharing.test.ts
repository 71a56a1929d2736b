/** Requests that share prefixes, through scheduler and strict device: what they say must not depend on what the cache held. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE, maxTotalTokens } from '../../../../src/core/cost.ts'
import type { Request } from '../../../../src/core/request.ts'
import { Scheduler } from '../../../../src/core/schedule/scheduler.ts'
import type { StepOutput } from '../../../../src/core/stepPlan.ts'
import { buildStepPlan } from '../../../../src/core/stepPlanBuilder.ts'
import type { EngineOptions } from '../../../../src/protocol/engineOptions.ts'
import { engineOptions, GREEDY, mtp } from '../../../helpers/coreFixtures.ts'
import { spell } from '../../../helpers/kvFixtures.ts'
import { MockDevice } from '../../../helpers/mockDevice.ts'
import { draftsAfter, EMPTY_PREFIX, generateAlone } from '../../../helpers/mockModel.ts'
import { MockRunner } from '../../../helpers/mockRunner.ts'

const RIGHT_IN_EIGHT = 5

interface Visit {
  readonly prompt: readonly number[]
  readonly salt: string | undefined
  readonly maxTokens: number
  /** steps before it arrives */
  readonly step: number
  /** steps after which it is aborted */
  readonly patience: number
}

interface Outcome {
  readonly requests: readonly Request[]
  readonly cachedTokens: number
  /** KV was recomputed or found again after a preemption */
  readonly preempted: number
}

/** Steps with up to `depth` of them in flight, and every cached prefix forgotten after step `resetAt`. */
async function run(
  options: EngineOptions,
  visits: readonly Visit[],
  depth: number,
  resetAt = Number.POSITIVE_INFINITY,
): Promise<Outcome> {
  const scheduler = new Scheduler(options)
  const runner = new MockRunner(options, { rightInEight: RIGHT_IN_EIGHT })
  const requests: Request[] = []
  const inFlight: StepOutput[] = []
  let [cachedTokens, preempted] = [0, 0]
  const last = Math.max(...visits.map(({ step }) => step))
  for (let step = 0; step <= last || scheduler.hasUnfinished; step++) {
    expect(step).toBeLessThan(5000)
    for (const [id, visit] of visits.entries()) {
      if (visit.step === step) requests[id] = scheduler.add(specOf(id, visit, options))
      if (visit.step + visit.patience === step) scheduler.remove(id)
    }
    if (step === resetAt) scheduler.resetPrefixCache()
    const output = scheduler.schedule()
    cachedTokens += output.cachedTokens
    preempted += output.preempted.length
    if (output.requests.length > 0) inFlight.push(await runner.submit(buildStepPlan(output)))
    if (output.requests.length === 0 || inFlight.length === depth) settle(scheduler, inFlight.shift())
    scheduler.checkIntegrity()
  }
  expect(scheduler.kv.usedBlocks).toBe(0)
  return { requests, cachedTokens, preempted }
}

function specOf(id: number, { prompt, salt, maxTokens }: Visit, options: EngineOptions) {
  const maxTotal = maxTotalTokens(prompt.length, maxTokens, options)
  return { id, promptTokenIds: prompt, maxTotal, sampling: GREEDY, priority: 0, cacheSalt: salt }
}

/** What comes back must be the drafts that these tokens alone lead to. */
function settle(scheduler: Scheduler, output: StepOutput | undefined): void {
  for (const answer of output?.requests ?? []) {
    const running = scheduler.find(answer.requestId, answer.generation)
    if (!running) continue
    const { request } = running
    scheduler.settle(running, answer.accepted, answer.tokens)
    const drafts = draftsAfter(request.tokens, answer.proposed.length, RIGHT_IN_EIGHT)
    expect(answer.proposed).toEqual(drafts)
    if (request.tokens.length === request.maxTotal) scheduler.remove(request.id)
  }
}

/** Says what it would say alone, as far as it came. */
function expectAlone({ tokens, promptLength, spec }: Request): void {
  expect(tokens.slice(promptLength)).toEqual(generateAlone(spec.promptTokenIds, tokens.length - promptLength, GREEDY))
}

const visit: fc.Arbitrary<Visit> = fc
  .record({
    letters: fc.string({ unit: fc.constantFrom('A', 'A', 'B'), minLength: 1, maxLength: 4 }),
    cut: fc.oneof(fc.constant(0), fc.constant(BLOCK_SIZE - 1), fc.nat(BLOCK_SIZE - 1)),
    salt: fc.constantFrom(undefined, undefined, undefined, 's'),
    maxTokens: fc.integer({ min: 1, max: 40 }),
    step: fc.nat(30),
    patience: fc.oneof({ weight: 4, arbitrary: fc.constant(10_000) }, { weight: 1, arbitrary: fc.nat(20) }),
  })
  .map(({ letters, cut, ...rest }) => ({ ...rest, prompt: spell(letters, letters.length * BLOCK_SIZE - cut) }))

const engine: fc.Arbitrary<EngineOptions> = fc
  .record({
    maxNumSeqs: fc.integer({ min: 1, max: 6 }),
    moreRows: fc.nat(40),
    moreBlocks: fc.nat(14),
    speculative: fc.option(fc.nat(4).map(mtp), { nil: undefined, freq: 4 }),
  })
  .map(({ maxNumSeqs, moreRows, moreBlocks, speculative }) =>
    engineOptions({
      maxNumSeqs,
      maxNumBatchedTokens: maxNumSeqs + moreRows,
      maxModelLen: 100,
      kvCacheTokens: (7 + moreBlocks) * BLOCK_SIZE,
      speculative,
    }),
  )

describe('shared prefixes', () => {
  it.each([1, 2, 3])(
    'leave every answer and every draft as it is alone, with %i steps in flight (39)',
    async (depth) => {
      let [cachedTokens, preempted] = [0, 0]
      const visits = fc.array(visit, { minLength: 2, maxLength: 12, size: 'max' })
      await fc.assert(
        fc.asyncProperty(engine, visits, fc.nat(60), async (options, some, resetAt) => {
          const outcome = await run(options, some, depth, resetAt)
          for (const request of outcome.requests) expectAlone(request)
          cachedTokens += outcome.cachedTokens
          preempted += outcome.preempted
        }),
        { numRuns: 60 },
      )
      expect(cachedTokens).toBeGreaterThan(40 * BLOCK_SIZE)
      expect(preempted).toBeGreaterThan(0)
    },
  )

  it('are never found without prefix caching, and then everybody says the same (39)', async () => {
    const visits = ['AAB', 'AAB', 'AA', 'AABB'].map((letters, i) => {
      return { prompt: spell(letters), salt: undefined, maxTokens: 10, step: i * 20, patience: 10_000 }
    })
    const on = await run(engineOptions(), visits, 1)
    const off = await run(engineOptions({ enablePrefixCaching: false }), visits, 1)
    expect(on.cachedTokens).toBeGreaterThan(0)
    expect(off.cachedTokens).toBe(0)
    expect(on.requests.map(({ tokens }) => tokens)).toEqual(off.requests.map(({ tokens }) => tokens))
  })

  it('that part at a block border keep what the drafter knows apart: who continues C gets the block of C (39)', async () => {
    // A = P·A…, C = P·C…, and D continues C. The drafter's slot at the end of P was written for the token after it.
    const visits = ['PQA', 'PQC', 'PQCD'].map((letters, i) => {
      return { prompt: spell(letters), salt: undefined, maxTokens: 12, step: i * 40, patience: 10_000 }
    })
    const { requests, cachedTokens } = await run(engineOptions({ speculative: mtp(3) }), visits, 1)
    // C finds P; D finds P, the Q of C, and the C that C went past while it decoded only if its next token was D's.
    expect(cachedTokens).toBe(BLOCK_SIZE + 2 * BLOCK_SIZE)
    for (const request of requests) expectAlone(request)
  })
})

describe('the strict device', () => {
  /** Row 0 of generation 1 was given block 0; row 1 of generation 2 shares it and was given block 1. */
  function twoRows() {
    const device = new MockDevice(engineOptions())
    const write = { lastPosition: 99, firstOutputPosition: 20, sampling: GREEDY, history: undefined }
    const fill = (tableRow: number, generation: number, computed: number): void =>
      device.fillRow({ ...write, tableRow, generation, computed })
    fill(0, 1, 0)
    device.appendBlock({ tableRow: 0, index: 0, block: 0 })
    device.writeTarget(device.row(0, 1), 15, 7, EMPTY_PREFIX)
    fill(1, 2, BLOCK_SIZE)
    device.appendBlock({ tableRow: 1, index: 0, block: 0 })
    device.appendBlock({ tableRow: 1, index: 1, block: 1 })
    return { device, fill }
  }

  it('refuses a write to a shared block, whoever it was given to, of the target and of the drafter (30)', () => {
    const { device } = twoRows()
    const [giver, taker] = [device.row(0, 1), device.row(1, 2)]
    for (const row of [giver, taker]) {
      expect(() => device.writeTarget(row, 15, 7, EMPTY_PREFIX)).toThrow('a block of its own')
      expect(() => device.writeDrafter(row, 15, EMPTY_PREFIX, 7)).toThrow('a block of its own')
    }
    device.writeTarget(taker, 16, 7, EMPTY_PREFIX)
  })

  it('refuses a row one of whose blocks was given to another, and a share in what nobody wrote (31)', () => {
    const { device, fill } = twoRows()
    fill(2, 3, 0)
    device.appendBlock({ tableRow: 2, index: 0, block: 0 })
    expect(() => device.row(1, 2)).toThrow('block 0 is still its own')
    device.writeTarget(device.row(2, 3), 15, 7, EMPTY_PREFIX)
    fill(3, 4, BLOCK_SIZE)
    expect(() => device.appendBlock({ tableRow: 3, index: 0, block: 9 })).toThrow('block 9 holds')
    expect(() => fill(4, 5, BLOCK_SIZE + 1)).toThrow('whole blocks are cached')
  })
})
