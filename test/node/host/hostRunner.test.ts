/** The step on the host: what the mock runner beside it cannot show. */

import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../src/core/cost.ts'
import { Scheduler } from '../../../src/core/schedule/scheduler.ts'
import { stepGeometry } from '../../../src/core/stepGeometry.ts'
import type { StepOutput, StepPlan } from '../../../src/core/stepPlan.ts'
import { buildStepPlan } from '../../../src/core/stepPlanBuilder.ts'
import { BatchRows } from '../../../src/host/batchRows.ts'
import { NO_SLOT } from '../../../src/host/hostModel.ts'
import { HostRunner } from '../../../src/host/hostRunner.ts'
import { TableRow } from '../../../src/host/requestTable.ts'
import { rowDigest } from '../../../src/host/sampling/digest.ts'
import type { EngineOptions } from '../../../src/protocol/engineOptions.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import { EngineRig, engineOptions, GREEDY, mtp, newRequest, promptOf } from '../../helpers/coreFixtures.ts'
import { endOf } from '../../helpers/engineRuns.ts'
import { type HostRig, hostRig } from '../../helpers/hostRig.ts'
import { logitsOf, type MockHostOptions, sampleLogits } from '../../helpers/mockHostModel.ts'
import { generateAlone, prefixOf } from '../../helpers/mockModel.ts'
import { plainChoice } from '../../helpers/plainSampling.ts'
import type { TestSampling } from '../../helpers/sampledRow.ts'

/** An engine over the host runner alone. */
function engine(options: EngineOptions, mock: MockHostOptions = {}): EngineRig & { readonly host: HostRig } {
  const host = hostRig(options, mock)
  return Object.assign(new EngineRig(options, { instead: () => host.runner }), { host })
}

/** What a request says alone, by the definitions of sampling. */
function plainAnswer(prompt: readonly number[], count: number, sampling: TestSampling): number[] {
  const output: number[] = []
  while (output.length < count) {
    const logits = logitsOf(prefixOf([...prompt, ...output]))
    output.push(
      plainChoice({ logits, sampling: { ...sampling, prompt, output }, position: prompt.length + output.length }),
    )
  }
  return output
}

/** Plans of one request: its prompt in a chunk, then its decoding steps. */
function plans(options: EngineOptions, steps: number): StepPlan[] {
  const scheduler = new Scheduler(options)
  const promptTokenIds = promptOf(20, 1)
  const rest = { sampling: GREEDY, priority: 0, cacheSalt: undefined }
  scheduler.add({ id: 1, promptTokenIds, maxTotal: 60, ...rest })
  return Array.from({ length: steps }, () => buildStepPlan(scheduler.schedule()))
}

const PLAIN = engineOptions({ speculative: undefined })

describe('penalties, bias and seeds', () => {
  const subjects: readonly TestSampling[] = [
    { repetitionPenalty: 3, logitBias: [[111, 9]] },
    { presencePenalty: 2, frequencyPenalty: 2, logitBias: [3, 5, 8].map((id) => [id, 8] as const) },
    { temperature: 1, seed: 5 },
    { temperature: 1, seed: 5, sampleIndex: 1 },
    { temperature: 1, seed: 6 + 2 ** 33, repetitionPenalty: 1.3, frequencyPenalty: 0.4 },
    { temperature: 0.9, seed: 7, topK: 40, topP: 0.95, minP: 0.02, presencePenalty: 1, logitBias: [[9, 8]] },
  ]
  const prompt = promptOf(37, 4).map((id) => id % 50)

  it.each([0, 1, 2, 3, 4])(
    'are those of the definitions, with %i drafts, chunks, a cached prefix and preemptions',
    async (drafts) => {
      const options = engineOptions({
        speculative: mtp(drafts),
        maxNumBatchedTokens: 24,
        kvCacheTokens: 16 * 8,
        maxModelLen: 96,
      })
      const rig = engine(options, { rightInEight: 7 })
      subjects.forEach((sampling, id) => {
        rig.engine.add(newRequest(id, 0, 24, { promptTokenIds: prompt, sampling: { ...GREEDY, ...sampling } }))
      })
      await rig.drain()
      expect(rig.engine.stats().preemptions).toBeGreaterThan(0)
      for (const [id, sampling] of subjects.entries()) {
        const { tokenIds, debug } = endOf(rig, id)
        expect(tokenIds, `subject ${id}`).toEqual(plainAnswer(prompt, 24, sampling))
        // Reported logits are those before the adjustment.
        const before = tokenIds.map((_, i) => rowDigest(logitsOf(prefixOf([...prompt, ...tokenIds.slice(0, i)]))))
        expect(debug?.logits).toEqual(before)
      }
      expect(new Set(subjects.map((_, id) => endOf(rig, id).tokenIds.join())).size).toBe(subjects.length)
    },
  )

  it('begin anew with another owner of a table row', async () => {
    const rig = engine(engineOptions({ maxNumSeqs: 1, enablePrefixCaching: false }))
    for (const [id, sampling] of [...subjects, {}].entries()) {
      rig.engine.add(newRequest(id, 0, 8, { promptTokenIds: prompt, sampling: { ...GREEDY, ...sampling } }))
    }
    await rig.drain()
    for (const [id, sampling] of [...subjects, {}].entries()) {
      expect(endOf(rig, id).tokenIds).toEqual(plainAnswer(prompt, 8, sampling))
    }
  })
})

describe('a request whose logits are not finite', () => {
  it.each([0, 3])(
    'ends with NUMERIC_ERROR, with %i drafts, after the tokens before it, and no other does',
    async (drafts) => {
      const answers = [0, 1, 2].map((id) => generateAlone(promptOf(8 + 20 * id, id), 20, GREEDY))
      const bad = prefixOf([...promptOf(28, 1), ...(answers[1] ?? []).slice(0, 9)])
      const rig = engine(engineOptions({ speculative: mtp(drafts) }), { notFinite: (state) => state === bad })
      for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 8 + 20 * id, 20))
      await rig.drain()
      expect(endOf(rig, 1).error).toMatchObject({ code: 'NUMERIC_ERROR', fatal: false })
      // Of the step that met the row nothing is committed.
      const said = endOf(rig, 1).tokenIds
      expect(said).toEqual((answers[1] ?? []).slice(0, said.length))
      expect(said.length).toBeGreaterThanOrEqual(9 - drafts)
      expect(said.length).toBeLessThanOrEqual(9)
      for (const id of [0, 2]) expect(endOf(rig, id).tokenIds).toEqual(answers[id])
    },
  )
})

describe('reported logits', () => {
  it('are copies of the rows, or nothing', async () => {
    for (const logits of ['full', 'off'] as const) {
      const rig = engine(engineOptions({ debug: { logits, steps: true, trace: false } }))
      rig.engine.add(newRequest(0, 8, 12, { sampling: { ...GREEDY, repetitionPenalty: 2 } }))
      await rig.drain()
      const { tokenIds, debug } = endOf(rig, 0)
      const rows = tokenIds.map((_, i) => logitsOf(prefixOf([...promptOf(8, 0), ...tokenIds.slice(0, i)])))
      expect(debug?.logits).toEqual(logits === 'full' ? rows : [])
    }
  })
})

describe('a plan beyond the geometry', () => {
  it('is refused with BUDGET_EXCEEDED before anything of it runs, and the next one is served', async () => {
    const { runner, model } = hostRig(PLAIN)
    const [first, second] = plans(PLAIN, 2)
    if (!first?.requests[0] || !second) throw new Error('two plans')
    const ids = promptOf(65, 9)
    const refused = runner.submit({
      ...first,
      rows: 65,
      requests: [{ ...first.requests[0], n: 65, ids }],
      tableWrites: first.tableWrites.map((write) => ({ ...write, generation: 99 })),
    })
    await expect(refused).rejects.toMatchObject({ code: 'BUDGET_EXCEEDED', details: { rows: 65, limit: 64 } })
    expect(model.forwardRows).toEqual([])
    const output = await runner.submit(first)
    expect(output.requests[0]?.tokens).toEqual(generateAlone(promptOf(20, 1), 1, GREEDY))
  })

  it('is refused for sampled rows, requests and rows of the KV pass alike', async () => {
    const options = engineOptions({ maxNumSeqs: 1, speculative: mtp(1) })
    const { runner, model } = hostRig(options)
    const [first] = plans(options, 1)
    const request = first?.requests[0]
    if (!first || !request) throw new Error('a plan')
    const refusals: readonly [Partial<StepPlan>, RegExp][] = [
      [{ requests: [{ ...request, k: 2 }], sampledRows: 3 }, /3 sampled rows/],
      [{ requests: [request, { ...request, requestId: 2, samples: false }], rows: 40, kvPassRows: 40 }, /2 requests/],
      [{ requests: [{ ...request, catchUpTokens: promptOf(50, 1) }], kvPassRows: 70 }, /70 rows of the drafter/],
    ]
    for (const [changes, message] of refusals) {
      await expect(runner.submit({ ...first, ...changes })).rejects.toThrow(message)
    }
    expect(model.forwardRows).toEqual([])
  })
})

describe('steps submitted at once', () => {
  it('run one after the other and settle in order, as an engine with two in flight', async () => {
    const options = engineOptions({ speculative: mtp(3), kvCacheTokens: 192, maxModelLen: 96, maxNumBatchedTokens: 24 })
    const { runner } = hostRig(options)
    const scheduler = new Scheduler(options)
    const samplings = [GREEDY, { ...GREEDY, temperature: 1, seed: 3 }, { ...GREEDY, repetitionPenalty: 1.5 }]
    const requests = samplings.map((sampling, id) => {
      const promptTokenIds = promptOf(30 + id, id)
      const rest = { priority: 0, cacheSalt: undefined }
      return scheduler.add({ id, promptTokenIds, maxTotal: 60 + id, sampling, ...rest })
    })
    const inFlight: Promise<StepOutput>[] = []
    const settled: number[] = []
    while (scheduler.hasUnfinished) {
      const scheduled = scheduler.schedule()
      if (scheduled.requests.length > 0) {
        const step = runner.submit(buildStepPlan(scheduled))
        inFlight.push(step)
        void step.then((output) => settled.push(output.step))
      }
      if (inFlight.length < 2 && scheduled.requests.length > 0) continue
      for (const { requestId, generation, accepted, tokens } of (await inFlight.shift())?.requests ?? []) {
        const running = scheduler.find(requestId, generation)
        if (!running) continue
        scheduler.settle(running, accepted, tokens)
        if (running.request.tokens.length >= running.request.maxTotal) scheduler.remove(requestId)
      }
    }
    await Promise.all(inFlight)
    expect(settled).toEqual(settled.toSorted((a, b) => a - b))
    for (const [id, sampling] of samplings.entries()) {
      const { tokens, promptLength } = requests[id] ?? { tokens: [], promptLength: 0 }
      expect(tokens.slice(promptLength)).toEqual(plainAnswer(promptOf(30 + id, id), 30, sampling))
    }
  })
})

describe('a step that fails', () => {
  it('says which step and why, and no later one runs', async () => {
    let calls = 0
    const { runner, model } = hostRig(PLAIN, {
      beforePass: () => {
        if (++calls === 2) throw new Error('std::bad_alloc')
      },
    })
    const [one, two, three] = plans(PLAIN, 3)
    if (!one || !two || !three) throw new Error('three plans')
    const steps = [one, two, three].map((plan) => runner.submit(plan))
    expect((await steps[0])?.step).toBe(one.step)
    const error = await steps[1]?.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(WeirError)
    expect(error).toMatchObject({ code: 'INTERNAL', message: `step ${two.step} failed on the host: std::bad_alloc` })
    await expect(steps[2]).rejects.toBe(error)
    expect(model.forwardRows).toHaveLength(1)
  })

  it('passes on an error that has a code', async () => {
    const full = new WeirError('OUT_OF_MEMORY', 'the heap is full')
    const { runner } = hostRig(PLAIN, {
      beforePass: () => {
        throw full
      },
    })
    const [plan] = plans(PLAIN, 1)
    if (!plan) throw new Error('a plan')
    await expect(runner.submit(plan)).rejects.toBe(full)
    await expect(runner.submit(plan)).rejects.toBe(full)
  })

  it('is one whose model gives another number of logits', async () => {
    const { model } = hostRig(PLAIN)
    const vocabSize = 998
    const geometry = stepGeometry(vocabSize, PLAIN)
    const runner = new HostRunner({ model, vocabSize, geometry, options: PLAIN, now: () => 0 })
    const [plan] = plans(PLAIN, 1)
    if (!plan) throw new Error('a plan')
    await expect(runner.submit(plan)).rejects.toThrow('rows of 998 logits')
  })
})

describe('dispose', () => {
  it('ends the step that runs and those that wait with DISPOSED', async () => {
    const passes: (() => void)[] = []
    const { runner } = hostRig(PLAIN, { beforePass: () => new Promise((resolve) => passes.push(resolve)) })
    const [one, two] = plans(PLAIN, 2)
    if (!one || !two) throw new Error('two plans')
    const steps = [one, two].map((plan) => runner.submit(plan))
    const ends = Promise.allSettled(steps)
    await expect.poll(() => passes.length).toBe(1)
    runner.dispose()
    passes[0]?.()
    for (const end of await ends) {
      expect(end).toMatchObject({ status: 'rejected', reason: { code: 'DISPOSED' } })
    }
    await expect(runner.submit(two)).rejects.toMatchObject({ code: 'DISPOSED' })
    expect(passes).toHaveLength(1)
  })
})

describe('memory', () => {
  it('of the rows is the same in every step', async () => {
    const rig = engine(engineOptions())
    for (let id = 0; id < 12; id++) rig.engine.add(newRequest(id, 5 + 7 * id, 20))
    await rig.drain()
    expect(rig.records.length).toBeGreaterThan(20)
    // Ids, positions and slots of the target's, the KV and the draft passes.
    expect(rig.host.model.arrays.size).toBe(9)
  })
})

describe('rows past the last position', () => {
  it('have no slot, the last position and a run of their own each', () => {
    const row = new TableRow(3)
    const rest = {
      tableRow: 0,
      generation: 1,
      computed: 0,
      firstOutputPosition: 4,
      sampling: GREEDY,
      history: undefined,
    }
    row.fill({ ...rest, lastPosition: 33 })
    row.blocks.set([7, 2, 5])
    const batch = new BatchRows(6)
    batch.push(row, 11, 30)
    for (let position = 31; position < 36; position++) batch.push(row, position, position)
    const last = 5 * BLOCK_SIZE + 1
    expect([...batch.slots]).toEqual([2 * BLOCK_SIZE + 14, 2 * BLOCK_SIZE + 15, last - 1, last, NO_SLOT, NO_SLOT])
    expect([...batch.positions]).toEqual([30, 31, 32, 33, 33, 33])
    expect(batch.runs).toEqual([
      { firstRow: 0, rows: 4, position: 30, blocks: row.blocks },
      { firstRow: 4, rows: 1, position: 33, blocks: row.blocks },
      { firstRow: 5, rows: 1, position: 33, blocks: row.blocks },
    ])
    expect(() => batch.push(row, 0, 0)).toThrow('row 6')
  })

  it('may be drafted on at the end of an answer, and what is said stays the same', async () => {
    for (const maxTokens of [2, 3, 4, 5, 6]) {
      const rig = engine(engineOptions({ speculative: mtp(4), maxModelLen: 32, kvCacheTokens: 64 }), {
        rightInEight: 8,
      })
      rig.engine.add(newRequest(0, 29 - maxTokens, maxTokens))
      rig.engine.add(newRequest(1, 27, maxTokens))
      await rig.drain()
      for (const [id, length] of [29 - maxTokens, 27].entries()) {
        const { tokenIds } = endOf(rig, id)
        expect(tokenIds).toEqual(generateAlone(promptOf(length, id), tokenIds.length, GREEDY))
      }
    }
  })
})

describe('the mock host model', () => {
  it('says what the mock model says where no request samples', () => {
    for (let seed = 0; seed < 50; seed++) {
      const state = prefixOf(promptOf(9, seed))
      expect(sampleLogits(state, GREEDY, 9)).toBe(generateAlone(promptOf(9, seed), 1, GREEDY)[0])
    }
  })
})
