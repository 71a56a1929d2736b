/** Replay: the recorded inputs lead a fresh scheduler to the recorded plans, and nothing else passes for a trace. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { StepPlan } from '../../../src/core/stepPlan.ts'
import { replayTrace } from '../../../src/engine/trace/replay.ts'
import { planDigest, planText } from '../../../src/engine/trace/traceDigest.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import type { Replay } from '../../../src/protocol/replay.ts'
import { traceChanges } from '../../helpers/traceChanges.ts'
import { runTraced, tracedRuns } from '../../helpers/tracedRuns.ts'

function replay(trace: string): { result: Replay; plans: StepPlan[] } {
  const plans: StepPlan[] = []
  return { result: replayTrace(trace, (plan) => plans.push(plan)), plans }
}

function matches(text: string, pattern: RegExp): readonly string[] {
  return text.match(pattern) ?? []
}

function digestsOf(trace: string): readonly string[] {
  return matches(trace, /(?<=\n\["plan",\d+,")[0-9a-f]{16}/g)
}

describe('every trace', () => {
  it('is replayed to the same plans and records, whatever happened to the engine', async () => {
    const seen = { preempted: 0, cached: 0, refused: 0, aborted: 0, texts: 0, notFinite: 0, cut: 0, split: 0 }
    const drafts = { chosen: 0, weighed: 0, proposedInText: 0, timed: 0 }
    await fc.assert(
      fc.asyncProperty(tracedRuns, async (run) => {
        const { rig, trace, fatal } = await runTraced(run)
        const { result, plans } = replay(trace)
        const ran = rig.runner.plans
        expect(result.options).toEqual(run.options)
        expect(result.records).toEqual(rig.records)
        const { speculation } = rig.engine.stats()
        expect(result.speculation).toEqual(speculation)
        expect(plans.slice(0, ran.length)).toEqual(ran)
        expect(plans.map(planText).slice(0, ran.length)).toEqual(ran.map(planText))
        expect(plans.map(planDigest)).toEqual(digestsOf(trace))
        expect(plans.length).toBe(ran.length + (fatal ? 1 : 0))
        expect(result.plans).toBe(plans.length)
        expect(result.failure).toEqual(fatal && { ...fatal.toData(), step: plans.length })
        expect(result.requests).toBe(matches(trace, /\n\["add"/g).length)
        seen.preempted += rig.records.reduce((sum, record) => sum + record.preempted, 0)
        seen.cached += rig.records.reduce((sum, record) => sum + record.cachedTokens, 0)
        seen.refused += fatal ? 1 : 0
        seen.aborted += matches(trace, /"end",\d+,"abort"/g).length
        seen.texts += matches(trace, /"end",\d+,"stop"/g).length
        seen.notFinite += matches(trace, /"end",\d+,"NUMERIC_ERROR"/g).length
        seen.cut += matches(trace, /"accepted":\d+,"ids"/g).length
        seen.split += matches(trace, /\n\["rows".*\n\["(add|end|reset)".*\n\["rows"/g).length
        drafts.chosen += rig.records.filter((record) => record.drafts).length
        drafts.weighed += matches(trace, /\n\["plan",.*?\],\[\d,"[a-z-]+",\[/g).length
        drafts.proposedInText += run.options.speculative?.method === 'ngram' ? speculation.proposed : 0
        drafts.timed += speculation.targetMs === undefined ? 0 : 1
      }),
      { numRuns: 900 },
    )
    for (const [what, times] of Object.entries({ ...seen, ...drafts })) expect(times, what).toBeGreaterThan(3)
  })

  it('is the same for the same run, and replayed the same each time', async () => {
    await fc.assert(
      fc.asyncProperty(tracedRuns, async (run) => {
        const { trace } = await runTraced(run)
        expect((await runTraced(run)).trace).toBe(trace)
        expect(replay(trace)).toEqual(replay(trace))
      }),
      { numRuns: 20 },
    )
  })

  it('is replayed or refused as TRACE_FORMAT once a line or a number of it has changed, and never to other plans', async () => {
    let replayed = 0
    let refused = 0
    await fc.assert(
      fc.asyncProperty(tracedRuns, fc.array(traceChanges, { minLength: 40, maxLength: 40 }), async (run, some) => {
        const { trace } = await runTraced(run)
        const digests = digestsOf(trace)
        for (const mutate of some) {
          const plans = plansUnlessRefused(mutate(trace))
          if (plans) expect(plans.map(planDigest)).toEqual(digests.slice(0, plans.length))
          if (plans) replayed++
          else refused++
        }
      }),
      { numRuns: 60 },
    )
    expect(replayed).toBeGreaterThan(50)
    expect(refused).toBeGreaterThan(500)
  })
})

/** The plans of a trace; undefined if it is refused, and any other error is thrown on. */
function plansUnlessRefused(trace: string): readonly StepPlan[] | undefined {
  try {
    return replay(trace).plans
  } catch (thrown) {
    if (thrown instanceof WeirError && thrown.code === 'TRACE_FORMAT') return undefined
    throw thrown
  }
}
