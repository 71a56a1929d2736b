/** What speculation did, as answers and statistics tell it: counts by position, the means of them, and the time it took. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EngineOptions, SpeculativeOptions } from '../../../src/protocol/engineOptions.ts'
import type { RequestStep, SpeculationUsage } from '../../../src/protocol/request.ts'
import { sum } from '../../../src/util/math.ts'
import { EngineRig, engineOptions, GREEDY, mtp, newRequest, promptOf } from '../../helpers/coreFixtures.ts'
import { endOf, runWorkload } from '../../helpers/engineRuns.ts'
import { generateAlone } from '../../helpers/mockModel.ts'
import { oracle } from '../../helpers/testProposers.ts'
import { workloads } from '../../helpers/workloads.ts'

const NGRAM: SpeculativeOptions = {
  method: 'ngram',
  numSpeculativeTokens: 3,
  adaptive: false,
  promptLookupMin: 1,
  promptLookupMax: 2,
}

function speculationOf(rig: EngineRig, id: number): SpeculationUsage {
  const { speculation } = endOf(rig, id).usage
  if (!speculation) throw new Error(`the usage of request ${id} tells nothing of speculation`)
  return speculation
}

function sampledSteps(rig: EngineRig, id: number): readonly RequestStep[] {
  return (endOf(rig, id).debug?.steps ?? []).filter(({ preempted }) => !preempted)
}

/** How many of these reach each position. */
function byPosition(lengths: readonly number[], positions: number): number[] {
  return Array.from({ length: positions }, (_, j) => lengths.filter((length) => length > j).length)
}

describe('the usage of an answer', () => {
  it('counts its own drafts by position, and those of all answers are those of the engine', async () => {
    await fc.assert(
      fc.asyncProperty(workloads, async (workload) => {
        const most = workload.options.speculative?.numSpeculativeTokens ?? 0
        fc.pre(most > 0)
        const rig = await runWorkload(workload, 3000)
        const usages = workload.arrivals.map((_, id) => speculationOf(rig, id))
        for (const [id, usage] of usages.entries()) {
          const steps = sampledSteps(rig, id)
          const verified = steps.map((step) => step.verified.length)
          expect(usage).toEqual({
            steps: steps.length,
            proposed_tokens: sum(steps.map(({ proposed }) => proposed.length)),
            verified_by_position: byPosition(verified, most),
            accepted_by_position: byPosition(
              steps.map(({ accepted }) => accepted),
              most,
            ),
            mean_accepted_length: usage.mean_accepted_length,
            tokens_per_step: endOf(rig, id).tokenIds.length / steps.length,
          })
          const drafting = steps.filter((step) => step.verified.length > 0)
          const length = sum(drafting.map(({ accepted }) => accepted + 1)) / drafting.length
          expect(usage.mean_accepted_length).toBeCloseTo(drafting.length > 0 ? length : 0, 9)
        }
        const { speculation } = rig.engine.stats()
        const sums = (of: (usage: SpeculationUsage) => readonly number[]): number[] =>
          speculation.verified.map((_, j) => sum(usages.map((usage) => of(usage)[j] ?? 0)))
        expect(speculation.verified).toEqual(sums((usage) => usage.verified_by_position))
        expect(speculation.accepted).toEqual(sums((usage) => usage.accepted_by_position))
        expect(speculation.proposed).toBe(sum(usages.map((usage) => usage.proposed_tokens)))
      }),
      { numRuns: 40 },
    )
  })

  it('leaves out accepted drafts that a stop cut off, which the engine counts', async () => {
    for (let keep = 0; keep < 12; keep++) {
      let seen = 0
      const onTokens = (_id: number, ids: readonly number[]) => {
        const before = seen
        seen += ids.length
        return seen >= keep ? { keep: Math.max(0, keep - before), reason: 'stop' as const } : undefined
      }
      // All four drafts are right: a first token, then runs of five.
      const rig = new EngineRig(engineOptions({ speculative: mtp(4) }), { rightInEight: 8 }, { onTokens })
      rig.engine.add(newRequest(0, 6, 40))
      await rig.drain()
      const runs = Math.ceil(Math.max(0, keep - 1) / 5)
      const inLastRun = runs === 0 ? 0 : keep - 1 - (runs - 1) * 5
      const usage = speculationOf(rig, 0)
      expect(usage.verified_by_position).toEqual([runs, runs, runs, runs])
      expect(usage.accepted_by_position).toEqual(
        [1, 2, 3, 4].map((j) => (inLastRun >= j ? runs : Math.max(0, runs - 1))),
      )
      expect(usage.tokens_per_step).toBe(keep / (1 + runs))
      expect(rig.engine.stats().speculation.accepted).toEqual([runs, runs, runs, runs])
    }
  })

  it.each<[string, EngineOptions['speculative']]>([
    ['speculation', undefined],
    ['drafts', mtp(0)],
  ])('says nothing of it in an engine without %s', async (_what, speculative) => {
    const rig = new EngineRig(engineOptions({ speculative }))
    rig.engine.add(newRequest(0, 6, 9))
    await rig.drain()
    expect(endOf(rig, 0).usage).not.toHaveProperty('speculation')
    const none = { proposed: 0, verified: [], accepted: [], meanAcceptedLength: 0 }
    expect(rig.engine.stats().speculation).toEqual(none)
  })

  it('is there, all zero, of a request that wants no drafts', async () => {
    const rig = new EngineRig(engineOptions({ speculative: mtp(2) }))
    rig.engine.add(newRequest(0, 6, 9, { maxDrafts: 0 }))
    await rig.drain()
    expect(speculationOf(rig, 0)).toEqual({
      steps: 9,
      proposed_tokens: 0,
      verified_by_position: [0, 0],
      accepted_by_position: [0, 0],
      mean_accepted_length: 0,
      tokens_per_step: 1,
    })
  })
})

describe('drafts from the text', () => {
  it('are counted as proposed where they are: on the host, at a step’s end', async () => {
    const answers = [0, 1].map((id) => generateAlone(promptOf(9, id), 20, GREEDY))
    // Every other request's are wrong.
    const proposer = oracle(({ id }) => answers[id]?.map((token) => token + id) ?? [])
    const rig = new EngineRig(engineOptions({ speculative: NGRAM }), {}, {}, { proposer })
    for (const id of [0, 1]) rig.engine.add(newRequest(id, 9, 12))
    await rig.drain()
    for (const id of [0, 1]) expect(endOf(rig, id).tokenIds).toEqual(answers[id]?.slice(0, 12))
    const { proposed, verified } = rig.engine.stats().speculation
    expect(proposed).toBeGreaterThanOrEqual(sum(verified))
    expect(sum(verified)).toBeGreaterThan(12)
    expect(sum(rig.records.map(({ proposedDrafts }) => proposedDrafts))).toBe(proposed)
    expect(speculationOf(rig, 0).proposed_tokens + speculationOf(rig, 1).proposed_tokens).toBe(proposed)
    for (const id of [0, 1]) {
      const steps = sampledSteps(rig, id)
      for (const [index, { verified: drafts }] of steps.entries()) {
        expect(drafts).toEqual(steps[index - 1]?.proposed.slice(0, drafts.length) ?? [])
      }
    }
  })
})

describe('the time of drafts', () => {
  it('is summed over the steps that were timed on the GPU', async () => {
    const ms = ({ step }: { readonly step: number }) => {
      if (step === 1) return { encode: 0, wait: 9 }
      return step === 2 ? { encode: 0, wait: 9, gpu: 6, draft: 2.5 } : { encode: 0, wait: 9, gpu: 4, draft: 0 }
    }
    const rig = new EngineRig(engineOptions({ speculative: mtp(2) }), { ms, rightInEight: 0 })
    rig.engine.add(newRequest(0, 6, 5))
    await rig.engine.step()
    expect(rig.engine.stats().speculation).not.toHaveProperty('targetMs')
    expect(rig.engine.stats().speculation).not.toHaveProperty('draftMs')
    await rig.engine.step()
    expect(rig.engine.stats().speculation).toMatchObject({ targetMs: 3.5, draftMs: 2.5 })
    await rig.engine.step()
    expect(rig.engine.stats().speculation).toMatchObject({ targetMs: 7.5, draftMs: 2.5 })
    expect(rig.records[1]?.ms).toMatchObject({ gpu: 6, draft: 2.5 })
  })
})

describe('the number of drafts', () => {
  it('is in each record with its reason where it is chosen, and only there', async () => {
    for (const adaptive of [true, false]) {
      const speculative: SpeculativeOptions = { method: 'mtp', numSpeculativeTokens: 3, adaptive }
      const rig = new EngineRig(engineOptions({ speculative }), { ms: () => ({ encode: 1, wait: 9 }), rightInEight: 8 })
      rig.engine.add(newRequest(0, 6, 120))
      await rig.drain()
      const chosen = rig.records.flatMap(({ drafts }) => drafts ?? [])
      expect(chosen.length).toBe(adaptive ? rig.records.length : 0)
      // Rows cost nothing here, so that the most drafts are the best.
      if (adaptive) expect(chosen).toContainEqual({ k: 3, reason: 'best' })
    }
  })
})
