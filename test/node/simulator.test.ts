/** The simulator: reproducible, one trace for every policy, and true to what the real scheduler does. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rowsOf } from '../../src/chart/stepText.ts'
import type { BudgetPolicy } from '../../src/protocol/stepRecord.ts'
import { parseArguments } from '../bench/simulator/arguments.ts'
import { figuresOf } from '../bench/simulator/figures.ts'
import { compare } from '../bench/simulator/main.ts'
import { chartSvg, figuresJson, figuresTable } from '../bench/simulator/report.ts'
import { SETTINGS, worstByArithmetic, worstMeasured } from '../bench/simulator/worstStep.ts'

const SATURATING = '--requests 60 --arrival burst --prompt lognormal:120,0.6 --output lognormal:24,0.5 --k 3'

function run(line: string) {
  return compare(parseArguments(line.split(' ')))
}

async function report(line: string): Promise<string> {
  const runs = await run(line)
  const figures = runs.map(figuresOf)
  return [figuresTable(figures), figuresJson([], figures), ...runs.map(chartSvg)].join('\n')
}

describe('a simulation', () => {
  it('is the same, to the character, for the same arguments, and another one for another seed', async () => {
    const line = '--requests 40 --arrival poisson:30 --shared-prefix 0.5:64 --k 2 --compare exact,uncharged'
    const first = await report(`${line} --seed 7`)
    expect(await report(`${line} --seed 7`)).toBe(first)
    expect(await report(`${line} --seed 8`)).not.toBe(first)
  })

  it('serves every request and keeps every step within B under exact, whatever the arguments', async () => {
    const sizes = fc.record({
      S: fc.integer({ min: 1, max: 12 }),
      moreRows: fc.nat(150),
      k: fc.constantFrom('none', '0', '1', '2', '3', '4'),
      maxModelLen: fc.integer({ min: 40, max: 200 }),
      moreBlocks: fc.nat(40),
      prompt: fc.constantFrom('fixed:20', 'uniform:1,90', 'lognormal:30,1'),
      output: fc.constantFrom('fixed:12', 'uniform:1,40', 'lognormal:20,0.8'),
      arrival: fc.constantFrom('burst', 'poisson:15', 'uniform:40'),
      cost: fc.constantFrom('linear:8,0.1', 'stepped:4,32,3', 'flat:10'),
      more: fc.constantFrom(
        '--prefix-cache off',
        '--shared-prefix 0.6:32',
        '--threshold 16',
        '--partial-prefills 1 --watermark 0.1',
        '--scheduling priority --priorities=-1,0,2',
      ),
      acceptance: fc.constantFrom(0, 0.5, 1),
      seed: fc.nat(1000),
    })
    await fc.assert(
      fc.asyncProperty(sizes, async ({ S, moreRows, maxModelLen, moreBlocks, more, ...named }) => {
        const kvTokens = 16 * (Math.ceil(maxModelLen / 16) + moreBlocks)
        const rest = Object.entries(named).map(([name, value]) => `--${name} ${value}`)
        const line = `--requests 25 --b ${S + moreRows} --s ${S} --max-model-len ${maxModelLen} --kv-tokens ${kvTokens}`
        const [only] = await run([line, more, ...rest].join(' '))
        if (!only) throw new Error('one policy, one run')
        expect(only.requests.every(({ finished }) => finished)).toBe(true)
        for (const record of only.records) expect(rowsOf(record)).toBeLessThanOrEqual(S + moreRows)
        expect(figuresOf(only)).toMatchObject({ overrunRows: 0, finishedRequests: 25 })
      }),
      { numRuns: 60 },
    )
  })

  it.each([
    { B: 256, S: 16 },
    { B: 1024, S: 64 },
  ])('fills 99 of 100 rows of the steps that lack rows, under exact, at B = $B and S = $S', async ({ B, S }) => {
    const [only] = await run(`${SATURATING} --requests 250 --b ${B} --s ${S} --kv-tokens 32768`)
    if (!only) throw new Error('one policy, one run')
    const { saturatedSteps, saturatedBudgetUse } = figuresOf(only)
    expect(saturatedSteps).toBeGreaterThan(20)
    expect(saturatedBudgetUse).toBeGreaterThanOrEqual(0.99)
    expect(saturatedBudgetUse).toBeLessThanOrEqual(1)
  })

  it('runs one trace under every policy: the same arrivals, tokens and luck', async () => {
    const runs = await run(`${SATURATING} --compare exact,reserve,uncharged`)
    expect(runs.map(({ options }) => options.budgetPolicy)).toEqual(['exact', 'reserve', 'uncharged'])
    const [exact, ...others] = runs.map(({ requests, records }) => ({
      arrivals: requests.map(({ arrivedAt }) => arrivedAt),
      tokens: requests.map(({ gaps }) => gaps.length),
      committed: records.reduce((sum, record) => sum + record.committedTokens, 0),
    }))
    expect(exact?.tokens.length).toBe(60)
    for (const other of others) expect(other).toEqual(exact)
  })

  it('overruns under uncharged, and under reserve as much up to B = 512; never under exact', async () => {
    const [exact, reserve, uncharged] = (await run(`${SATURATING} --compare exact,reserve,uncharged`)).map(figuresOf)
    expect(exact?.overrunRows).toBe(0)
    expect(uncharged?.overrunRows).toBeGreaterThan(100)
    expect(uncharged?.mostRows).toBeGreaterThan(256)
    expect({ ...reserve, policy: 'uncharged', name: 'uncharged' }).toEqual(uncharged)
  })

  it('wastes rows under reserve above B = 512, where exact does not', async () => {
    const line = `${SATURATING} --requests 150 --b 1024 --s 64 --compare exact,reserve`
    const [exact, reserve] = (await run(line)).map(figuresOf)
    expect(exact?.saturatedBudgetUse).toBeGreaterThanOrEqual(0.99)
    expect(reserve?.saturatedBudgetUse).toBeLessThan(0.9)
    expect(reserve?.steps).toBeGreaterThan(exact?.steps ?? 0)
  })

  it('stops at the first overrun where the device refuses it', async () => {
    const [only] = await run(`${SATURATING} --policy uncharged --overrun refuse`)
    const [without] = await run(`${SATURATING} --policy uncharged`)
    const first = without?.records.find((record) => rowsOf(record) > 256)
    expect(only?.refused).toEqual({ step: first?.step, rows: first && rowsOf(first), limit: 256 })
    expect(only?.records).toEqual(without?.records.slice(0, only?.records.length))
    expect(only?.requests.some(({ finished }) => finished)).toBe(false)
  })

  it('counts preempted requests, and the rows it takes to compute them anew', async () => {
    const [only] = await run(`${SATURATING} --output fixed:60 --kv-tokens 2048`)
    if (!only) throw new Error('one policy, one run')
    const { preemptions, preemptedRequests, recomputedRows } = figuresOf(only)
    expect(preemptedRequests).toBeGreaterThan(0)
    expect(preemptions).toBe(only.requests.reduce((sum, each) => sum + each.preemptions, 0))
    expect(recomputedRows).toBeGreaterThan(0)
  })

  it('finds shared prefixes in the cache, and none where it is off', async () => {
    const cached = async (more: string) =>
      (await run(`--requests 40 --shared-prefix 1:128 --arrival uniform:2 --kv-tokens 65536 ${more}`)).map(figuresOf)[0]
        ?.cachedTokens
    // Of every request but the first of each of the four prefixes.
    expect(await cached('--prefix-cache on')).toBe(36 * 128)
    expect(await cached('--prefix-cache off')).toBe(0)
  })

  it('takes the time its cost model says, and only that', async () => {
    const [only] = await run('--requests 1 --prompt fixed:100 --output fixed:5 --cost linear:8,0.1')
    // One step of 100 rows, four of one.
    expect(only?.requests[0]?.firstTokenAt).toBeCloseTo(18)
    expect(only?.requests[0]?.gaps.map((gap) => Number(gap.toFixed(6)))).toEqual([8.1, 8.1, 8.1, 8.1])
    expect(only?.endedAt).toBeCloseTo(18 + 4 * 8.1)
  })

  it('accepts drafts as often as asked', async () => {
    for (const [chance, accepted] of [
      [0, 0],
      [0.6, 0.6],
      [1, 1],
    ] as const) {
      const [only] = await run(`--requests 100 --arrival burst --output fixed:200 --k 1 --acceptance ${chance}`)
      expect(only && figuresOf(only).acceptance).toBeCloseTo(accepted, 1)
    }
  })
})

describe('the largest step', () => {
  const known: Record<BudgetPolicy, readonly number[]> = {
    uncharged: [8447, 9467, 1789, 557, 349, 188],
    reserve: [7935, 7931, 1277, 557, 349, 188],
    exact: [8192, 8192, 1024, 512, 256, 128],
  }

  it.each(['uncharged', 'reserve', 'exact'] as const)(
    'of %s is what is known of it, measured and by rule',
    (policy) => {
      expect(SETTINGS.map((setting) => worstMeasured(setting, policy))).toEqual(known[policy])
      expect(SETTINGS.map((setting) => worstByArithmetic(setting, policy))).toEqual(known[policy])
    },
  )
})
