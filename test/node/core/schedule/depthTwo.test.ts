import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Scheduler } from '../../../../src/core/schedule/scheduler.ts'
import type { SchedulerOutput } from '../../../../src/core/schedule/schedulerOutput.ts'
import type { StepOutput } from '../../../../src/core/stepPlan.ts'
import { buildStepPlan } from '../../../../src/core/stepPlanBuilder.ts'
import { MockRunner } from '../../../helpers/mockRunner.ts'
import { expectedOutput, specOf, type Workload, workloads } from '../../../helpers/workloads.ts'

/** Drives scheduler and runner with up to `depth` steps in flight and returns each request's output. */
async function runAtDepth(workload: Workload, depth: number): Promise<number[][]> {
  const { options, rightInEight, arrivals } = workload
  const scheduler = new Scheduler(options)
  const runner = new MockRunner(options, { rightInEight })
  const requests = arrivals.map((_, id) => scheduler.add(specOf(workload, id)))
  const inFlight: { scheduled: SchedulerOutput; output: StepOutput }[] = []
  for (let turns = 0; scheduler.hasUnfinished; turns++) {
    expect(turns).toBeLessThan(20_000)
    const scheduled = scheduler.schedule()
    if (scheduled.requests.length > 0)
      inFlight.push({ scheduled, output: await runner.submit(buildStepPlan(scheduled)) })
    for (const running of scheduler.running) {
      expect(running.computedMin).toBeLessThanOrEqual(running.computedMax)
      expect(running.committedMax).toBeLessThanOrEqual(running.request.maxTotal)
    }
    if (scheduled.requests.length === 0 || inFlight.length === depth) settle(scheduler, inFlight.shift())
    scheduler.checkIntegrity()
  }
  expect(scheduler.kv.usedBlocks).toBe(0)
  return requests.map(({ tokens, promptLength }) => tokens.slice(promptLength))
}

function settle(scheduler: Scheduler, step: { scheduled: SchedulerOutput; output: StepOutput } | undefined): void {
  expect(step, 'a step without requests means that one is in flight').toBeDefined()
  step?.output.requests.forEach((answer, index) => {
    const running = scheduler.find(answer.requestId, answer.generation)
    if (!running) return
    const bounds = [running.computedMin, running.computedMax] as const
    scheduler.settle(running, answer.accepted, answer.tokens)
    expect(running.computedMin).toBeGreaterThanOrEqual(bounds[0])
    expect(running.computedMax).toBeLessThanOrEqual(bounds[1])
    if (running.stepsInFlight === 0) {
      expect(running.computedMin).toBe(running.computedMax)
      expect(running.committedMin).toBe(running.committedMax)
      // After a step that sampled, all but the last token are computed.
      if (step.scheduled.requests[index]?.samples) expect(running.computed).toBe(running.request.tokens.length - 1)
    }
    if (running.request.tokens.length === running.request.maxTotal) scheduler.remove(answer.requestId)
  })
}

describe('steps in flight', () => {
  it.each([1, 2, 3])('says the same with %i of them, whatever is preempted in flight (24) (26)', async (depth) => {
    await fc.assert(
      fc.asyncProperty(workloads, async (workload) => {
        const outputs = await runAtDepth(workload, depth)
        const expected = workload.arrivals.map((_, id) => expectedOutput(workload, id))
        expect(outputs).toEqual(expected)
      }),
      { numRuns: 40 },
    )
  })
})
