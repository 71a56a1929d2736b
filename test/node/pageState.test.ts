import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OPENINGS } from '../../src/demo/openings.ts'
import {
  DEFAULT_SETTINGS,
  engineOptions,
  readSettings,
  type Settings,
  samplingFields,
  writeSettings,
} from '../../src/demo/settings.ts'
import { liveFigures, StepHistory } from '../../src/demo/stepHistory.ts'
import { stepRecord, stepRecords } from '../helpers/stepRecords.ts'

const settings: fc.Arbitrary<Settings> = fc.record({
  model: fc.oneof(fc.webUrl(), fc.constantFrom('models/fairy-tales/', '/a b/&c=d#e/')),
  backend: fc.constantFrom('auto', 'wasm', 'no such backend'),
  b: fc.option(fc.integer({ min: -5, max: 4096 }), { nil: undefined }),
  s: fc.integer({ min: -5, max: 256 }),
  drafts: fc.nat({ max: 9 }),
  policy: fc.constantFrom('exact', 'reserve', 'uncharged', 'no such policy'),
  adaptive: fc.boolean(),
  trace: fc.boolean(),
  temperature: fc.constantFrom(0, 0.1, 0.8, 2, -1),
  seed: fc.maxSafeNat(),
  tokens: fc.nat({ max: 5000 }),
})

describe('settings in the address', () => {
  it('come back from a link as they were, right or wrong', () => {
    fc.assert(
      fc.property(settings, (given) => {
        expect(readSettings(writeSettings(given))).toEqual(given)
      }),
    )
  })

  it('leave out what is as by default', () => {
    expect(writeSettings(DEFAULT_SETTINGS)).toBe('')
    expect(readSettings('')).toEqual(DEFAULT_SETTINGS)
    expect(writeSettings({ ...DEFAULT_SETTINGS, adaptive: false })).toBe('?adaptive=0')
    expect(readSettings('?adaptive=perhaps').adaptive).toBe(true)
    expect(writeSettings({ ...DEFAULT_SETTINGS, b: 64, drafts: 0 })).toBe('?b=64&drafts=0')
  })

  it('pass on a number that cannot be read, for the engine to refuse', () => {
    expect(readSettings('?b=many&seed=').b).toBeNaN()
    expect(readSettings('?b=many&seed=').seed).toBe(DEFAULT_SETTINGS.seed)
  })

  it('leave the rows of a step to the engine, unless the address says how many', () => {
    expect(engineOptions(DEFAULT_SETTINGS)).not.toHaveProperty('maxNumBatchedTokens')
    expect(engineOptions({ ...DEFAULT_SETTINGS, b: 48 }).maxNumBatchedTokens).toBe(48)
    expect(engineOptions({ ...DEFAULT_SETTINGS, drafts: 0 }).speculative).toBeUndefined()
    expect(engineOptions(readSettings('?backend=wasm')).backend).toBe('wasm')
  })

  it('trace only when asked to: a trace grows with the steps', () => {
    expect(engineOptions(readSettings('')).debug).toEqual({ trace: false })
    expect(engineOptions(readSettings('?trace=1')).debug).toEqual({ trace: true })
    expect(writeSettings(readSettings('?trace=1'))).toBe('?trace=1')
  })

  it('give every story a seed of its own', () => {
    const seeds = OPENINGS.map((_, index) => samplingFields(DEFAULT_SETTINGS, index).seed)
    expect(new Set(seeds).size).toBe(16)
    expect(new Set(OPENINGS).size).toBe(16)
  })
})

describe('live figures', () => {
  it('are sums over the steps', () => {
    const records = [
      stepRecord({ baseRows: 8, acceptedDrafts: 6, rejectedDrafts: 2 }),
      stepRecord({ prefillRows: 48, committedTokens: 2, step: 2 }),
    ]
    const figures = liveFigures(records)
    expect(figures.tokensPerSecond).toBeCloseTo((14 + 2) / 0.064, 6)
    expect(figures.tokensPerStep).toBe(8)
    expect(figures.rowsPerStep).toBe(32)
    expect(figures.budgetUse).toBe(0.5)
    expect(figures.acceptance).toBe(0.75)
    expect(liveFigures([])).toEqual({})
    expect(liveFigures([stepRecord({ baseRows: 1 })]).acceptance).toBeUndefined()
  })

  it('stay within their range under any steps that fit the budget', () => {
    fc.assert(
      fc.property(stepRecords(1200, 40), (records) => {
        const { budgetUse = 0, acceptance = 0 } = liveFigures(records)
        expect(budgetUse).toBeGreaterThanOrEqual(0)
        expect(budgetUse).toBeLessThanOrEqual(1)
        expect(acceptance).toBeGreaterThanOrEqual(0)
        expect(acceptance).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('come from a history that keeps the last steps and forgets the rest', () => {
    const history = new StepHistory()
    for (let step = 1; step <= 10_000; step++) {
      history.push(stepRecord({ step, baseRows: step > 9900 ? 4 : 64 }))
      expect(history.records.length).toBeLessThanOrEqual(2500)
    }
    expect(history.records.length).toBeGreaterThanOrEqual(2000)
    expect(history.records.at(-1)?.step).toBe(10_000)
    expect(history.figures().rowsPerStep).toBe(4)
    history.clear()
    expect(history.records).toEqual([])
  })
})
