/** What the simulator is told: defaults, what reaches the engine, and what is refused. */

import { describe, expect, it } from 'vitest'
import { ArgumentError, parseArguments } from '../bench/simulator/arguments.ts'
import { ARGUMENTS } from '../bench/simulator/usage.ts'

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
