/**
 * Compares weir on the processor (wasm) and on WebGPU with transformers.js on both and with wllama (llama.cpp) on the processor: one
 * model, greedy answers, in Chromium. Each runtime is loaded as its users load it, from a local server and without a network, in a
 * page of its own. First each one's answers are checked, then it runs all workloads until it is warm. Every round runs each
 * workload on every runtime once, beginning with another one each time; a ratio compares runs of the same round, and is given as
 * geometric mean with its 95 % interval. Loading is not counted. Runtimes on WebGPU, here a software adapter, run in every fourth
 * round.
 *
 * It needs dist/, as `npm run build` makes it, and installs the other runtimes into out/ when they are not there.
 *
 * WEIR_BENCH_ROUNDS: measured rounds, 8 by default. WEIR_BENCH_THREADS: threads of each runtime on the processor, 1 by default.
 * WEIR_BENCH_ENGINES: names as printed, separated by semicolons; all by default.
 */

import type { Browser } from 'playwright-core'
import { launchBrowser, serveFolder } from '../helpers/browser.ts'
import { checkAnswers, ENGINES, type Engine, openEngine } from './backends/engines.ts'
import { installPeers } from './backends/peers.ts'
import { type Run, report } from './backends/report.ts'
import { buildSite, MODEL } from './backends/site.ts'
import { Vocabulary } from './backends/vocabulary.ts'
import { counted, prompts, WORKLOADS, type Workload } from './backends/workloads.ts'

const ROUNDS = Number(process.env.WEIR_BENCH_ROUNDS ?? 8)
const THREADS = Number(process.env.WEIR_BENCH_THREADS ?? 1)
const WANTED = process.env.WEIR_BENCH_ENGINES?.split(';').map((name) => name.trim())

/** The least time that a runtime runs before it is measured. */
const WARM_MS = 5000

/** Threads need shared memory, which a page has only with these. */
const ISOLATION = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' }

export async function run(): Promise<void> {
  const server = await serveFolder(await buildSite(installPeers()), THREADS > 1 ? ISOLATION : {})
  const vocabulary = new Vocabulary(MODEL)
  const browser = await launchBrowser({ webgpu: true })
  try {
    const engines = await openAll(browser, server.url, vocabulary)
    const runs: Run[] = []
    for (let round = 1; round <= ROUNDS; round++) {
      for (const [index, workload] of WORKLOADS.entries()) {
        const asked = prompts(workload, vocabulary, WORKLOADS.length * round + index)
        for (const engine of rotated(engines, round + index)) {
          const answer = answerOf(engine, workload)
          if (answer === undefined || (round - 1) % engine.everyRounds > 0) continue
          const { ms } = await engine.run(asked, answer)
          const perSecond = counted(workload, answer) / (ms / 1000)
          runs.push({ engine: engine.name, workload: workload.name, round, perSecond })
        }
      }
      console.log(`round ${round} of ${ROUNDS}`)
    }
    report({ browser: `Chromium ${browser.version()}`, threads: THREADS, rounds: ROUNDS }, engines, runs)
  } finally {
    await browser.close()
    await server.close()
  }
}

async function openAll(browser: Browser, url: string, vocabulary: Vocabulary): Promise<Engine[]> {
  const settings = ENGINES.filter(({ name }) => WANTED?.includes(name) ?? true)
  const unknown = WANTED?.filter((name) => !ENGINES.some((engine) => engine.name === name)) ?? []
  if (unknown.length > 0) throw new Error(`WEIR_BENCH_ENGINES names ${unknown.join(', ')}`)
  const engines: Engine[] = []
  for (const setting of settings) {
    const engine = await openEngine(browser, url, setting, THREADS)
    await checkAnswers(engine, vocabulary)
    await warm(engine, vocabulary)
    console.log(`${engine.name}: ${engine.runsOn}; answers checked`)
    engines.push(engine)
  }
  return engines
}

/** Compilers of WebAssembly and shaders work while the first runs go on. */
async function warm(engine: Engine, vocabulary: Vocabulary): Promise<void> {
  let ms = 0
  for (let pass = 1; pass === 1 || ms < WARM_MS; pass++) {
    for (const [index, workload] of WORKLOADS.entries()) {
      const answer = answerOf(engine, workload)
      if (answer === undefined) continue
      ms += (await engine.run(prompts(workload, vocabulary, -WORKLOADS.length * pass - index), answer)).ms
    }
  }
}

/** Tokens of an answer; undefined: this runtime is spared the workload. */
function answerOf({ slow }: Engine, { answer, slowAnswer }: Workload): number | undefined {
  return slow ? slowAnswer : answer
}

function rotated<T>(values: readonly T[], by: number): T[] {
  const first = by % values.length
  return [...values.slice(first), ...values.slice(0, first)]
}
