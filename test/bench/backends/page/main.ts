/** The script of the page: loads one runtime and times its answers, called by the benchmark through `globalThis.bench`. */

import type { Answers, Driver, DriverOptions, Load, Prompt } from './driver.ts'
import { loadTransformersJs } from './transformersJs.ts'
import { loadWeir } from './weir.ts'
import { loadWllama } from './wllama.ts'

const RUNTIMES = { weir: loadWeir, 'transformers.js': loadTransformersJs, wllama: loadWllama } satisfies Record<
  string,
  Load
>

export type RuntimeName = keyof typeof RUNTIMES

export interface TimedAnswers {
  readonly answers: Answers
  /** from the call to the last token of the last answer */
  readonly ms: number
}

export interface Bench {
  /** @returns what the runtime runs on, in words */
  load(runtime: RuntimeName, options: DriverOptions): Promise<string>
  run(prompts: readonly Prompt[], count: number): Promise<TimedAnswers>
}

let driver: Driver | undefined

const bench: Bench = {
  async load(runtime, options) {
    const loaded = await RUNTIMES[runtime](options)
    driver = loaded.driver
    return loaded.runsOn
  },
  async run(prompts, count) {
    if (!driver) throw new Error('no runtime is loaded')
    const start = performance.now()
    const answers = await driver.generate(prompts, count)
    const ms = performance.now() - start
    for (const ids of answers) {
      if (typeof ids !== 'string' && ids.length !== count) throw new Error(`${ids.length} tokens, not ${count}`)
    }
    return { answers, ms }
  },
}

Object.assign(globalThis, { bench })
