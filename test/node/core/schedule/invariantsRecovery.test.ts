/** What a request is rebuilt from, what may be forgotten while it runs, and that nothing else decides. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Scheduler } from '../../../../src/core/schedule/scheduler.ts'
import { buildStepPlan } from '../../../../src/core/stepPlanBuilder.ts'
import { engineOptions, GREEDY, promptOf } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, mostSteps, play } from '../../../helpers/crowdedWorkloads.ts'
import { endOf, runWorkload } from '../../../helpers/engineRuns.ts'
import { generateAlone } from '../../../helpers/mockModel.ts'
import { MockRunner } from '../../../helpers/mockRunner.ts'
import { SchedulerRig, sharesOf } from '../../../helpers/schedulerRig.ts'
import { expectedOutput, specOf, type Workload } from '../../../helpers/workloads.ts'

/** The bytes of every plan of a workload. */
function plansOf(workload: Workload): string {
  const plans: string[] = []
  play(workload, (_rig, output) => {
    const { preempted, firstWaiting } = output
    const told = {
      preempted: preempted.map(({ request }) => request.id),
      held: [firstWaiting?.request.id, firstWaiting?.reason],
    }
    plans.push(JSON.stringify({ ...buildStepPlan(output), ...told }))
  })
  return plans.join('\n')
}

describe('determinism', () => {
  it('the same calls give the same plans, byte for byte (49)', () => {
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        expect(plansOf(workload)).toBe(plansOf(workload))
      }),
      { numRuns: 60 },
    )
  })
})

describe('a lost device', () => {
  /** Runs a workload until the device is lost after `steps` steps, rebuilds, and goes on. @returns the outputs */
  async function runThroughLoss(workload: Workload, losses: readonly number[]): Promise<number[][]> {
    const { options, arrivals, rightInEight } = workload
    const open = () => ({
      scheduler: new Scheduler(options),
      runner: new MockRunner(options, { rightInEight }),
    })
    let { scheduler, runner } = open()
    const requests = arrivals.map((_, id) => scheduler.add(specOf(workload, id)))
    for (let step = 0; scheduler.hasUnfinished; step++) {
      expect(step).toBeLessThan(20_000)
      if (losses.includes(step)) {
        // A step in flight is lost with the rest: nothing of it was committed.
        scheduler.schedule()
        const unfinished = requests.filter(({ tokens, maxTotal }) => tokens.length < maxTotal)
        ;({ scheduler, runner } = open())
        for (const { id, spec, tokens } of unfinished) {
          const again = scheduler.add(spec)
          again.tokens.push(...tokens.slice(spec.promptTokenIds.length))
          requests[id] = again
        }
      }
      const output = scheduler.schedule()
      const answers = await runner.submit(buildStepPlan(output))
      for (const { requestId, generation, accepted, tokens } of answers.requests) {
        const running = scheduler.find(requestId, generation)
        if (!running) continue
        scheduler.settle(running, accepted, tokens)
        if (running.request.tokens.length === running.request.maxTotal) scheduler.remove(requestId)
      }
      scheduler.checkIntegrity()
    }
    return requests.map(({ tokens, promptLength }) => tokens.slice(promptLength))
  }

  it('costs recomputing alone: what was committed is all that a request is rebuilt from (50)', async () => {
    let lost = 0
    await fc.assert(
      fc.asyncProperty(crowdedWorkloads, fc.uniqueArray(fc.nat(40), { maxLength: 3 }), async (workload, losses) => {
        const outputs = await runThroughLoss(workload, losses)
        expect(outputs).toEqual(workload.arrivals.map((_, id) => expectedOutput(workload, id)))
        lost += losses.length
      }),
      { numRuns: 50 },
    )
    expect(lost).toBeGreaterThan(20)
  })
})

describe('a reset of the prefix cache', () => {
  it('while requests run leaves their blocks, and every answer, as they are (47)', async () => {
    let resets = 0
    const steps = fc.uniqueArray(fc.nat(40), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(crowdedWorkloads, steps, async (workload, at) => {
        const rig = await runWorkload(workload, mostSteps(workload), {}, ({ engine }, step) => {
          if (!at.includes(step)) return
          const owners = engine.stats().blockOwners.filter((owner) => owner >= 0)
          engine.resetPrefixCache()
          engine.checkIntegrity()
          const after = engine.stats()
          expect(after.blockOwners.filter((owner) => owner >= 0)).toEqual(owners)
          if (after.running > 0) resets++
        })
        for (const id of workload.arrivals.keys()) expect(endOf(rig, id).tokenIds).toEqual(expectedOutput(workload, id))
      }),
      { numRuns: 40 },
    )
    expect(resets).toBeGreaterThan(20)
  })

  it('changes no step but in what is found cached later (47)', () => {
    const steps = [false, true].map((reset) => {
      const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: 32 }))
      rig.add(0, 60, 20)
      rig.add(1, 40, 20)
      for (let step = 0; step < 3; step++) rig.step()
      if (reset) rig.scheduler.resetPrefixCache()
      return rig.drain().map(sharesOf)
    })
    expect(steps[1]).toEqual(steps[0])
  })
})

describe('a pause', () => {
  it('of any length between two steps changes nothing: the core knows no clock (47)', async () => {
    const options = engineOptions({ maxNumBatchedTokens: 16 })
    const runner = new MockRunner(options, { rightInEight: 5 })
    const scheduler = new Scheduler(options)
    const spec = { id: 0, promptTokenIds: promptOf(30, 0), maxTotal: 50, sampling: GREEDY, priority: 0 }
    const request = scheduler.add({ ...spec, cacheSalt: undefined })
    while (scheduler.hasUnfinished) {
      const output = scheduler.schedule()
      const { requests } = await runner.submit(buildStepPlan(output))
      await new Promise((resolve) => setImmediate(resolve))
      for (const { requestId, generation, accepted, tokens } of requests) {
        const running = scheduler.find(requestId, generation)
        if (running) scheduler.settle(running, accepted, tokens)
      }
      if (request.tokens.length === request.maxTotal) scheduler.remove(0)
    }
    expect(request.tokens.slice(30)).toEqual(generateAlone(promptOf(30, 0), 20, GREEDY))
  })
})
