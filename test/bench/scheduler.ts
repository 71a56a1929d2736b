/**
 * Measures the scheduler alone: time and allocated bytes of `schedule()`, `buildStepPlan()` and `settle()` with many running and
 * many waiting requests, and whether the heap grows. No GPU, no trace.
 */

import { Scheduler } from '../../src/core/schedule/scheduler.ts'
import { buildStepPlan } from '../../src/core/stepPlanBuilder.ts'
import type { EngineOptions } from '../../src/protocol/engineOptions.ts'
import { engineOptions, GREEDY, mtp } from '../helpers/coreFixtures.ts'
import { median, printTable, writeFigure } from './figures.ts'

const PROMPT = 48
const WARM_UP = 2000
const STEPS = 3000
const MAX_MODEL_LEN = 32_768

interface Case {
  readonly drafts: number
  readonly running: number
  readonly waiting: number
  /** in every step one request is added and one removed */
  readonly turnover: boolean
}

const CASES: readonly Case[] = [0, 3].flatMap((drafts) =>
  [16, 256].flatMap((running) =>
    [1000, 10_000].flatMap((waiting) => [false, true].map((turnover) => ({ drafts, running, waiting, turnover }))),
  ),
)

interface Measured extends Case {
  readonly schedule: number
  readonly plan: number
  readonly settle: number
  /** bytes allocated per step */
  readonly bytes: number
  /** bytes per step that remain after a garbage collection */
  readonly kept: number
  readonly rows: number
}

export async function run(): Promise<void> {
  const measured = CASES.map(measure)
  console.log(`\nScheduler, medians of ${STEPS} steps in µs; bytes per step`)
  printTable(
    ['case', 'drafts', 'running', 'waiting', 'rows/step', 'schedule()', 'plan', 'settle()', 'allocated', 'kept'],
    measured.map(({ turnover, drafts, running, waiting, rows, schedule, plan, settle, bytes, kept }) => [
      turnover ? 'one in, one out' : 'decoding',
      `${drafts}`,
      `${running}`,
      `${waiting}`,
      rows.toFixed(0),
      schedule.toFixed(1),
      plan.toFixed(1),
      settle.toFixed(1),
      bytes.toFixed(0),
      kept.toFixed(0),
    ]),
  )
  writeFigure('scheduler.json', `${JSON.stringify(measured, null, 1)}\n`)
}

function measure(one: Case): Measured {
  const rig = new Load(one)
  for (let step = 0; step < WARM_UP; step++) rig.step()
  const steps = Array.from({ length: STEPS }, () => rig.step())
  const heap = heapOf(rig)
  const of = (pick: (times: StepTimes) => number): number => median(steps.map(pick))
  return {
    ...one,
    ...heap,
    schedule: of(({ schedule }) => schedule),
    plan: of(({ plan }) => plan),
    settle: of(({ settle }) => settle),
    rows: of(({ rows }) => rows),
  }
}

/** Bytes allocated per step over 200 steps without a collection, and bytes kept per step after 1000 steps and a collection. */
function heapOf(rig: Load): { readonly bytes: number; readonly kept: number } {
  const used = (): number => process.memoryUsage().heapUsed
  globalThis.gc?.()
  const before = used()
  for (let step = 0; step < 200; step++) rig.step()
  const bytes = (used() - before) / 200
  for (let step = 200; step < 1000; step++) rig.step()
  globalThis.gc?.()
  return { bytes, kept: (used() - before) / 1000 }
}

interface StepTimes {
  readonly schedule: number
  readonly plan: number
  readonly settle: number
  readonly rows: number
}

/** A scheduler under a steady load: every running request decodes, with two of three drafts accepted. */
class Load {
  readonly #scheduler: Scheduler
  readonly #options: EngineOptions
  #turnover = false
  #nextId = 0

  constructor({ drafts, running, waiting, turnover }: Case) {
    this.#options = engineOptions({
      maxNumSeqs: running,
      maxNumBatchedTokens: running * (drafts + 1) + PROMPT,
      maxModelLen: MAX_MODEL_LEN,
      kvCacheTokens: 16 * (Math.max(running, 16) * 2500),
      speculative: drafts === 0 ? undefined : mtp(drafts),
      debug: { logits: 'off', steps: false, trace: false },
    })
    this.#scheduler = new Scheduler(this.#options)
    for (let i = 0; i < running + waiting; i++) this.#add()
    while (this.#scheduler.running.length < running) this.step()
    this.#turnover = turnover
  }

  step(): StepTimes {
    const begin = performance.now()
    const output = this.#scheduler.schedule()
    const scheduled = performance.now()
    const { rows } = buildStepPlan(output)
    const planned = performance.now()
    for (const { running, k, samples } of output.requests) {
      this.#scheduler.settle(running, Math.min(2, k), samples ? (IDS[Math.min(2, k)] ?? []) : [])
    }
    const settled = performance.now()
    if (this.#turnover) {
      const oldest = this.#scheduler.running[0]
      if (oldest) this.#scheduler.remove(oldest.request.id)
      this.#add()
    }
    return {
      schedule: (scheduled - begin) * 1000,
      plan: (planned - scheduled) * 1000,
      settle: (settled - planned) * 1000,
      rows,
    }
  }

  #add(): void {
    const id = this.#nextId++
    const promptTokenIds = Array.from({ length: PROMPT }, (_, i) => (id * 31 + i * 7) % 997)
    this.#scheduler.add({
      id,
      promptTokenIds,
      maxTotal: MAX_MODEL_LEN,
      sampling: GREEDY,
      priority: 0,
      cacheSalt: undefined,
    })
  }
}

const IDS = [[1], [1, 2], [1, 2, 3]]
