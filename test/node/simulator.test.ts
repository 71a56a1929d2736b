/** The simulator: reproducible, one trace for every policy, and true to what the real scheduler does. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { rowsOf } from '../../src/chart/stepText.ts'
import type { BudgetPolicy } from '../../src/protocol/stepRecord.ts'
import { ArgumentError, parseArguments } from '../bench/simulator/arguments.ts'
import { type StepCost, stepMilliseconds } from '../bench/simulator/costModel.ts'
import { drawGap, drawLength, type LengthDistribution } from '../bench/simulator/distributions.ts'
import { figuresOf, quantiles } from '../bench/simulator/figures.ts'
import { compare } from '../bench/simulator/main.ts'
import { Random } from '../bench/simulator/random.ts'
import { chartSvg, figuresJson, figuresTable } from '../bench/simulator/report.ts'
import { ARGUMENTS } from '../bench/simulator/usage.ts'
import { buildTrace } from '../bench/simulator/workload.ts'
import { SETTINGS, worstByArithmetic, worstMeasured } from '../bench/simulator/worstStep.ts'

const SATURATING = '--requests 60 --arrival burst --prompt lognormal:120,0.6 --output lognormal:24,0.5 --k 3'
const DRAWS = 20_000

function run(line: string) {
  return compare(parseArguments(line.split(' ')))
}

async function report(line: string): Promise<string> {
  const runs = await run(line)
  const figures = runs.map(figuresOf)
  return [figuresTable(figures), figuresJson([], figures), ...runs.map(chartSvg)].join('\n')
}

/** Sorted draws. */
function draws(draw: (random: Random) => number): number[] {
  const random = new Random(5, 1)
  return Array.from({ length: DRAWS }, () => draw(random)).sort((a, b) => a - b)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
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

describe('arguments', () => {
  it('have usable defaults', () => {
    const { variants, task } = parseArguments([])
    const options = { maxNumBatchedTokens: 256, maxNumSeqs: 16, speculative: undefined, budgetPolicy: 'exact' }
    expect(variants).toMatchObject([{ name: 'exact', options }])
    expect(task).toBe('simulate')
  })

  it('reach the engine', () => {
    const line =
      '--b 300 --s 20 --k 0 --policy reserve --scheduling priority --max-model-len 500 --kv-tokens 4000 --threshold 64 ' +
      '--partial-prefills 2 --watermark 0.25 --prefix-cache off'
    expect(parseArguments(line.split(' ')).variants[0]?.options).toMatchObject({
      maxNumBatchedTokens: 300,
      maxNumSeqs: 20,
      speculative: { method: 'mtp', numSpeculativeTokens: 0 },
      budgetPolicy: 'reserve',
      schedulingPolicy: 'priority',
      maxModelLen: 500,
      kvCacheTokens: 4000,
      longPrefillTokenThreshold: 64,
      maxNumPartialPrefills: 2,
      watermark: 0.25,
      enablePrefixCaching: false,
    })
  })

  it('name the drafts to compare', () => {
    const { variants } = parseArguments(['--compare-drafts', 'none,0,3,adaptive'])
    const { 0: none, ...others } = variants.map(({ options }) => options.speculative)
    expect(variants.map(({ name }) => name)).toEqual(['none', '0 drafts', '3 drafts', 'adaptive'])
    expect(none).toBeUndefined()
    expect(Object.values(others)).toMatchObject([
      { numSpeculativeTokens: 0, adaptive: false },
      { numSpeculativeTokens: 3, adaptive: false },
      { numSpeculativeTokens: 4, adaptive: true },
    ])
  })

  it.each([
    ['--compare-drafts 1,5', 'compare-drafts'],
    ['--compare-drafts 1,many', 'compare-drafts'],
    ['--compare-drafts 1 --k 2', 'k'],
    ['--compare-drafts 1 --adaptive on', 'adaptive'],
    ['--compare-drafts 1 --compare exact', 'compare'],
    ['--requests 0', 'requests'],
    ['--requests 1.5', 'requests'],
    ['--arrival poisson', 'arrival'],
    ['--arrival poisson:0', 'arrival'],
    ['--arrival sometimes:3', 'arrival'],
    ['--arrival burst:3', 'arrival'],
    ['--prompt fixed:0', 'prompt'],
    ['--prompt uniform:9,3', 'prompt'],
    ['--output lognormal:80', 'output'],
    ['--output lognormal:80,x', 'output'],
    ['--output fixed:1e3', 'output'],
    ['--shared-prefix 2:16', 'shared-prefix'],
    ['--shared-prefix 0.5', 'shared-prefix'],
    ['--shared-prefix 0.5:1023', 'shared-prefix'],
    ['--k 5', 'k'],
    ['--k some', 'k'],
    ['--policy fair', 'policy'],
    ['--compare exact,fair', 'compare'],
    ['--compare exact --policy exact', 'policy'],
    ['--scheduling lifo', 'scheduling'],
    ['--priorities=1,2', 'priorities'],
    ['--scheduling priority --priorities=1,,2', 'priorities'],
    ['--acceptance 1.1', 'acceptance'],
    ['--cost linear:8', 'cost'],
    ['--cost flat:0', 'cost'],
    ['--cost linear:0,0', 'cost'],
    ['--overrun ignore', 'overrun'],
    ['--prefix-cache maybe', 'prefix-cache'],
    ['--out=', 'out'],
  ])('%s are refused by name', (line, argument) => {
    const refuse = () => parseArguments(line.split(' '))
    expect(refuse).toThrow(ArgumentError)
    expect(refuse).toThrow(expect.objectContaining({ argument, message: expect.stringContaining('usage: ') }))
  })

  it.each([
    ['--nonsense 3', 'nonsense'],
    ['--b', 'b'],
    ['stray', 'stray'],
    ['--b 8 --s 16', 'maxNumBatchedTokens 8 is less than maxNumSeqs 16'],
    ['--kv-tokens 512', 'kvCacheTokens 512'],
    ['--watermark 1', 'watermark'],
  ])('%s are refused', (line, words) => {
    const refuse = () => parseArguments(line.split(' '))
    expect(refuse).toThrow(ArgumentError)
    expect(refuse).toThrow(words)
  })

  it('are all told by the usage', () => {
    const refuse = () => parseArguments(['--nonsense'])
    for (const name of Object.keys(ARGUMENTS)) expect(refuse).toThrow(`--${name} `)
  })
})

describe('distributions', () => {
  it('have the lengths they are asked for', () => {
    const lengths = (distribution: LengthDistribution) => draws((random) => drawLength(distribution, random))
    expect(new Set(lengths({ kind: 'fixed', tokens: 7 }))).toEqual(new Set([7]))

    const uniform = lengths({ kind: 'uniform', least: 10, most: 20 })
    expect([uniform[0], uniform.at(-1)]).toEqual([10, 20])
    expect(mean(uniform)).toBeCloseTo(15, 0)

    const lognormal = lengths({ kind: 'lognormal', median: 200, sigma: 0.6 })
    const at = (part: number) => lognormal[Math.round(part * DRAWS)] ?? 0
    expect(Math.abs(at(0.5) / 200 - 1)).toBeLessThan(0.02)
    // A standard deviation above and below the median.
    expect(Math.abs(at(0.84134) / (200 * Math.exp(0.6)) - 1)).toBeLessThan(0.03)
    expect(Math.abs(at(0.15866) / (200 * Math.exp(-0.6)) - 1)).toBeLessThan(0.03)
    expect(Math.abs(mean(lognormal) / (200 * Math.exp(0.18)) - 1)).toBeLessThan(0.03)
  })

  it('have the gaps they are asked for', () => {
    const poisson = draws((random) => drawGap({ kind: 'poisson', perSecond: 8 }, random))
    expect(Math.abs(mean(poisson) / 125 - 1)).toBeLessThan(0.03)
    expect(Math.abs((poisson[DRAWS / 2] ?? 0) / (125 * Math.LN2) - 1)).toBeLessThan(0.03)
    expect(new Set(draws((random) => drawGap({ kind: 'uniform', perSecond: 8 }, random)))).toEqual(new Set([125]))
  })

  it('are cut to what a request may have', () => {
    const { workload } = parseArguments(
      '--prompt lognormal:500,2 --output fixed:900 --shared-prefix 0.5:100'.split(' '),
    )
    const trace = buildTrace(workload, 600, 3)
    for (const { promptTokenIds, maxTokens } of trace) {
      expect(promptTokenIds.length).toBeGreaterThan(0)
      expect(maxTokens).toBeGreaterThan(0)
      expect(promptTokenIds.length + maxTokens).toBeLessThanOrEqual(600)
    }
    expect(trace.some(({ promptTokenIds }) => promptTokenIds.length === 599)).toBe(true)
    const openings = new Map<string, number>()
    for (const { promptTokenIds } of trace) {
      const opening = promptTokenIds.slice(0, 100).join()
      openings.set(opening, (openings.get(opening) ?? 0) + 1)
    }
    const shared = [...openings.values()].filter((count) => count > 1)
    expect(shared.length).toBe(4)
    expect(Math.abs(shared.reduce((sum, count) => sum + count) / trace.length - 0.5)).toBeLessThan(0.1)
  })
})

describe('costs and quantiles', () => {
  it('follow their models', () => {
    const cost = (rows: StepCost['rows'], count: number, passes = 0, kvPassRows = 0) =>
      stepMilliseconds({ rows, perDraftPass: 2, perKvPassRow: 0.25 }, count, passes, kvPassRows)
    expect(cost({ kind: 'flat', perStep: 5 }, 100)).toBe(5)
    expect(cost({ kind: 'linear', base: 5, perRow: 0.5 }, 100, 3)).toBe(61)
    expect(cost({ kind: 'linear', base: 5, perRow: 0.5 }, 100, 3, 8)).toBe(63)
    const stepped = { kind: 'stepped', base: 1, rows: 32, perStep: 4 } as const
    expect([1, 32, 33].map((rows) => cost(stepped, rows))).toEqual([5, 5, 9])
  })

  it('take the nearest rank', () => {
    expect(quantiles([])).toBeUndefined()
    expect(quantiles([3])).toEqual({ p50: 3, p95: 3, p99: 3, max: 3 })
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
    expect(quantiles(hundred)).toEqual({ p50: 50, p95: 95, p99: 99, max: 100 })
  })
})
