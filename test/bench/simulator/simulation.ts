/**
 * Runs a trace through the real engine in virtual time: requests arrive once the clock has reached their arrival time, a step takes
 * the time of the cost model, and an idle engine skips to the next arrival. Deterministic.
 */

import type { RefusedStep } from '../../../src/chart/stepText.ts'
import { GREEDY } from '../../../src/core/samplingParams.ts'
import { EngineCore } from '../../../src/engine/engineCore.ts'
import type { EngineOptions } from '../../../src/protocol/engineOptions.ts'
import type { StepRecord } from '../../../src/protocol/stepRecord.ts'
import { Observer, type RequestTimeline } from './observer.ts'
import { type DeviceModel, SimulatedRunner, VirtualClock } from './simulatedRunner.ts'
import { type ArrivingRequest, VOCAB_SIZE } from './workload.ts'

/** One of the compared engine configurations. */
export interface Variant {
  readonly name: string
  readonly options: EngineOptions
}

export interface SimulationRun extends Variant {
  readonly records: readonly StepRecord[]
  /** numbers of the saturated steps: those in which a request lacked rows */
  readonly saturated: ReadonlySet<number>
  readonly requests: readonly RequestTimeline[]
  /** the refused step, which ended the run */
  readonly refused: RefusedStep | undefined
  /** milliseconds */
  readonly endedAt: number
}

/**
 * Runs the trace to its end, or to the first refused step.
 * @param trace in order of arrival
 * @param seed decides the tokens, and which drafts are accepted
 */
export async function simulate(
  trace: readonly ArrivingRequest[],
  { name, options }: Variant,
  device: DeviceModel,
  seed: number,
): Promise<SimulationRun> {
  const clock = new VirtualClock()
  const runner = new SimulatedRunner(device, options.maxNumBatchedTokens, seed, clock)
  const observer = new Observer(options, runner, clock)
  const engine = new EngineCore({ options, runner, vocabSize: VOCAB_SIZE, now: () => clock.now, hooks: observer })
  const arrivals = trace.values()
  let next = arrivals.next().value
  while (runner.refused === undefined && (next !== undefined || engine.hasWork())) {
    if (next !== undefined && !engine.hasWork()) clock.now = Math.max(clock.now, next.arrivesAt)
    for (; next !== undefined && next.arrivesAt <= clock.now; next = arrivals.next().value) {
      observer.arrived(next)
      addTo(engine, next)
    }
    await runStep(engine, runner)
  }
  engine.checkIntegrity()
  const { records, saturated, timelines } = observer
  return { name, options, records, saturated, requests: timelines, refused: runner.refused, endedAt: clock.now }
}

function addTo(engine: EngineCore, { id, promptTokenIds, maxTokens, priority }: ArrivingRequest): void {
  engine.add({
    id,
    promptTokenIds,
    maxTokens,
    priority,
    cacheSalt: undefined,
    sampling: GREEDY,
    stopTokenIds: [],
    eosTokenIds: [],
    ignoreEos: true,
    debug: { logits: false, steps: true },
  })
}

/** Runs a step. A refusal by the device ends the run; any other error is rethrown. */
async function runStep(engine: EngineCore, runner: SimulatedRunner): Promise<void> {
  try {
    await engine.step()
  } catch (thrown) {
    if (runner.refused === undefined) throw thrown
  }
}
