/** The runtimes that are compared, each in a page of its own, and the check that they compute the same model. */

import { readFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { bindingIds, type Golden } from '../../helpers/golden.ts'
import type { Answers, DriverOptions, Prompt } from './page/driver.ts'
import type { Bench, RuntimeName, TimedAnswers } from './page/main.ts'
import type { Vocabulary } from './vocabulary.ts'

export interface EngineSetting {
  readonly name: string
  readonly runtime: RuntimeName
  readonly device: DriverOptions['device']
  /** ids bind up to the first place where the two likeliest tokens are closer than this */
  readonly tolerance: number
  /** takes seconds for a few tokens, so that it is asked for fewer */
  readonly slow: boolean
  /** it runs in the first round and then in every so many */
  readonly everyRounds: number
}

/** f16 in the cache or in matrices, and f32 everywhere, round differently by about this much. */
const [F16_GAP, F32_GAP] = [0.03, 0.002]

const OFTEN = { slow: false, everyRounds: 1 }
/** A software WebGPU adapter takes minutes for what the others do in seconds. */
const SELDOM = { slow: false, everyRounds: 4 }

export const ENGINES: readonly EngineSetting[] = [
  { name: 'weir, wasm', runtime: 'weir', device: 'wasm', tolerance: F32_GAP, ...OFTEN },
  { name: 'weir, WebGPU', runtime: 'weir', device: 'webgpu', tolerance: F16_GAP, ...SELDOM },
  { name: 'transformers.js, wasm', runtime: 'transformers.js', device: 'wasm', tolerance: F32_GAP, ...OFTEN },
  {
    name: 'transformers.js, WebGPU',
    runtime: 'transformers.js',
    device: 'webgpu',
    tolerance: F16_GAP,
    ...SELDOM,
    slow: true,
  },
  { name: 'wllama, wasm', runtime: 'wllama', device: 'wasm', tolerance: F16_GAP, ...OFTEN },
]

/** Tokens of each answer of a slow runtime that are checked. */
const SLOW_CHECK = 8

export interface Engine extends EngineSetting {
  /** in words */
  readonly runsOn: string
  /** @param prompts [streams] of equal length. Brings its page to the front, since pages behind others are slowed down. */
  run(prompts: readonly Prompt[], count: number): Promise<TimedAnswers>
  close(): Promise<void>
}

/** Opens a page that reaches nothing but `url`, and loads the model there. */
export async function openEngine(
  browser: Browser,
  url: string,
  setting: EngineSetting,
  threads: number,
): Promise<Engine> {
  const page = await browser.newPage()
  await page.route(
    ({ href, protocol }) => protocol.startsWith('http') && !href.startsWith(url),
    (route) => route.abort(),
  )
  page.on('pageerror', (error) => console.error(`${setting.name}: ${error.message}`))
  await page.goto(url)
  await page.waitForFunction('globalThis.bench')
  const { runtime, device } = setting
  const runsOn = await evaluate(page, (bench, args) => bench.load(...args), [runtime, { device, threads }] as const)
  return {
    ...setting,
    runsOn,
    async run(prompts, count) {
      await page.bringToFront()
      return evaluate(page, (bench, args) => bench.run(...args), [prompts, count] as const)
    },
    close: () => page.close(),
  }
}

function evaluate<A, R>(page: Page, call: (bench: Bench, args: A) => Promise<R>, args: A): Promise<R> {
  const text = `(args) => (${call.toString()})(globalThis.bench, args)`
  return page.evaluate(([source, given]) => new Function(`return ${source}`)()(given) as Promise<R>, [
    text,
    args,
  ] as const) as Promise<R>
}

/**
 * Checks answers, one at a time and eight together, against those of an independent implementation.
 * @throws Error naming the first answer that differs
 */
export async function checkAnswers(engine: Engine, vocabulary: Vocabulary): Promise<void> {
  const { cases }: Golden = JSON.parse(readFileSync('test/golden/fairy-tales.json', 'utf8'))
  for (const [index, { prompt_ids, kv_exact }] of cases.entries()) {
    const prompt = vocabulary.promptOf(prompt_ids)
    if (!prompt) continue
    const binding = bindingIds(kv_exact.greedy_ids, kv_exact.greedy_gap, engine.tolerance)
    const count = engine.slow ? SLOW_CHECK : kv_exact.greedy_ids.length
    const { answers } = await engine.run(Array(index === 0 ? 8 : 1).fill(prompt), count)
    for (const answer of answers) {
      if (begins(answer, binding.slice(0, count), vocabulary)) continue
      throw new Error(
        `${engine.name} answers prompt ${index} with ${answer}, not ${binding}, ${vocabulary.textOf(binding)}`,
      )
    }
  }
}

function begins(answer: Answers[number], ids: readonly number[], vocabulary: Vocabulary): boolean {
  if (typeof answer === 'string') return answer.startsWith(vocabulary.textOf(ids))
  return ids.every((id, index) => answer[index] === id)
}
