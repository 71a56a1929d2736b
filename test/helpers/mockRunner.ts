/**
 * A StepRunner without a GPU: checks each plan against its own model of the device and runs it with the mock model. Its buffers
 * are as strict as the real ones: more rows than B, or more sampled rows than R, are refused before anything runs.
 */

import { kvPassRows, maxDraftPasses, maxSampledRows, sampledRows, targetRows } from '../../src/core/cost.ts'
import type { SamplingParams } from '../../src/core/samplingParams.ts'
import type { PlannedRequest, RequestOutput, StepOutput, StepPlan, Verification } from '../../src/core/stepPlan.ts'
import type { StepRunner } from '../../src/core/stepRunner.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { assert } from '../../src/util/math.ts'
import { type DeviceRow, MockDevice } from './mockDevice.ts'
import { draftToken, extendPrefix, type PrefixState, sampleToken } from './mockModel.ts'

export interface MockRunnerOptions {
  /** drafts that are right, in eighths */
  readonly rightInEight?: number
  /** called after a step has run and before its promise settles; may throw */
  readonly beforeSettle?: (plan: StepPlan) => void | Promise<void>
  /** what a step takes; nothing unless said */
  readonly ms?: (plan: StepPlan) => StepOutput['ms']
  /** requests whose logits are not finite */
  readonly notFinite?: ReadonlySet<number>
  /** how the token at `position` is chosen after a prefix; by default `sampleToken` */
  readonly sample?: (state: PrefixState, sampling: SamplingParams, position: number) => number
  /** what runs an engine's steps in the place of the mock runner */
  readonly instead?: (mock: MockRunner) => StepRunner
}

/** A row as it ran. */
interface RanRow {
  readonly position: number
  readonly id: number
  /** the prefix that ends with it */
  readonly state: PrefixState
}

export class MockRunner implements StepRunner {
  /** the plans that ran, in order */
  readonly plans: StepPlan[] = []
  readonly #engine: EngineOptions
  readonly #mock: MockRunnerOptions
  readonly #device: MockDevice

  constructor(engine: EngineOptions, mock: MockRunnerOptions = {}) {
    this.#engine = engine
    this.#mock = mock
    this.#device = new MockDevice(engine)
  }

  async submit(plan: StepPlan): Promise<StepOutput> {
    const { maxNumBatchedTokens } = this.#engine
    refuseAbove('maxNumBatchedTokens', plan.step, targetRows(plan.requests), maxNumBatchedTokens)
    refuseAbove('sampled rows', plan.step, sampledRows(plan.requests), maxSampledRows(this.#engine))
    refuseAbove("the drafter's maxNumBatchedTokens", plan.step, kvPassOf(plan), maxNumBatchedTokens)
    this.#checkPlan(plan)
    for (const write of plan.tableWrites) this.#device.fillRow(write)
    for (const write of plan.blockWrites) this.#device.appendBlock(write)
    const requests = plan.requests.map((request) => this.#run(request))
    this.plans.push(plan)
    await this.#mock.beforeSettle?.(plan)
    const ms = this.#mock.ms?.(plan) ?? { encode: 0, wait: 0 }
    return { step: plan.step, encodedRows: targetRows(plan.requests), requests, ms }
  }

  #checkPlan(plan: StepPlan): void {
    const { requests } = plan
    assert(plan.step > (this.plans.at(-1)?.step ?? 0), 'steps are in order')
    assert(requests.length > 0, 'a plan holds requests')
    assert(plan.rows === targetRows(requests), 'rows is the sum of n')
    assert(plan.sampledRows === sampledRows(requests), 'sampled rows are counted right')
    assert(plan.kvPassRows === kvPassOf(plan), 'rows of the KV pass are counted right')
    assert(new Set(requests.map(({ requestId }) => requestId)).size === requests.length, 'a request is planned once')
    assert(new Set(requests.map(({ tableRow }) => tableRow)).size === requests.length, 'a table row is planned once')
    for (const { n, k, m, samples, ids, drafts, nextToken, inKvPass, catchUpTokens } of requests) {
      assert(inKvPass || m === 0, 'nobody drafts whom the drafter does not follow')
      assert((!inKvPass && catchUpTokens.length === 0) || maxDraftPasses(this.#engine) > 0, 'there is a drafter')
      assert(m >= 0 && m <= (samples ? maxDraftPasses(this.#engine) : 0), `m = ${m}`)
      assert(nextToken >= 0 !== samples, 'the next token is known or sampled')
      if (drafts) assert(k > 0 && drafts.length === k, 'k drafts come with the plan')
      else assert(k === 0 || maxDraftPasses(this.#engine) > 0, 'drafts come with the plan or from the table')
      if (ids) assert(n > 0 && ids.length === n && k === 0, 'a chunk has an id per row and no drafts')
      else assert(n === k + 1 && samples, 'a decoding request has a base row and k drafts')
    }
  }

  #run(request: PlannedRequest): RequestOutput {
    const row = this.#device.row(request.tableRow, request.generation)
    request.catchUpTokens.forEach((token, i) => {
      this.#device.catchUpDrafter(row, request.catchUpFrom + i, token, request.ids?.[0] ?? row.lastToken)
    })
    const ran = this.#forward(request, row)
    const { requestId, generation, k, m, samples, nextToken } = request
    const output = { requestId, generation, accepted: 0, tokens: [], verified: [], proposed: [] }
    const first = ran[0]?.position ?? 0
    row.drafts = []
    row.computed = first + ran.length
    if (!samples) {
      if (request.inKvPass) this.#drafterKv(row, ran, nextToken)
      return output
    }
    if (this.#mock.notFinite?.has(requestId)) return { ...output, numericError: true }
    const verifyRows = ran.slice(ran.length - k - 1)
    const tokens = this.#verify(verifyRows, row, request.verification)
    const accepted = tokens.length - 1
    row.computed -= k - accepted
    row.lastToken = tokens.at(-1) ?? -1
    assert(row.computed <= row.write.lastPosition, 'the new token is within the length limit')
    const kept = ran.slice(0, ran.length - (k - accepted))
    if (request.inKvPass) this.#drafterKv(row, kept, row.lastToken)
    row.drafts = this.#draft(row, kept.at(-1), m)
    return {
      ...output,
      accepted,
      tokens,
      verified: verifyRows.slice(1).map(({ id }) => id),
      proposed: row.drafts,
      logits: verifyRows.slice(0, accepted + 1).map(({ state }) => state.toString(16).padStart(16, '0')),
    }
  }

  /** Samples at each verify row and goes on while the token equals the next draft. */
  #verify(rows: readonly RanRow[], row: DeviceRow, verification: Verification | undefined): number[] {
    const sample = this.#mock.sample ?? sampleToken
    const tokens: number[] = []
    for (const [j, { state, position }] of rows.entries()) {
      const sampled = sample(state, row.write.sampling, position + 1)
      const draft = rows[j + 1]?.id
      const token = verification === 'all' ? (draft ?? sampled) : sampled
      tokens.push(token)
      if (draft !== token || verification === 'none') break
    }
    return tokens
  }

  /** The target's rows: all K and V are written before any is read, as on the GPU. */
  #forward(request: PlannedRequest, row: DeviceRow): RanRow[] {
    const { ids: planned, n, k, firstPosition } = request
    if (planned) assert(firstPosition === row.computed, 'a chunk begins where the last one ended')
    else assert(firstPosition >= row.computed, 'the first position is an upper bound')
    const drafts = request.drafts ?? row.drafts
    assert(k <= drafts.length, `${k} of ${drafts.length} drafts are verified`)
    const ids = planned ?? [row.lastToken, ...drafts.slice(0, k)]
    const first = row.computed
    assert(first + n - 1 <= row.write.lastPosition, 'no row is past the last position')
    let state = this.#device.readPrefix(row, first)
    const ran = ids.map((id, i) => {
      state = extendPrefix(state, id)
      return { position: first + i, id, state }
    })
    for (const { position, id, state } of ran) this.#device.writeTarget(row, position, id, state)
    this.#device.readPrefix(row, first + n)
    return ran
  }

  /** The drafter's KV pass over the rows up to the accepted one. */
  #drafterKv(row: DeviceRow, ran: readonly RanRow[], nextToken: number): void {
    ran.forEach(({ position, state }, i) => {
      this.#device.writeDrafter(row, position, state, ran[i + 1]?.id ?? nextToken)
    })
  }

  /** m draft passes; each after the first writes the drafter's slot one position further. */
  #draft(row: DeviceRow, accepted: RanRow | undefined, m: number): number[] {
    if (!accepted) throw new Error('a step that samples has a row')
    if (m > 0) this.#device.checkDrafter(row, accepted.position)
    const drafts: number[] = []
    let state = extendPrefix(accepted.state, row.lastToken)
    for (let j = 0; j < m; j++) {
      const draft = draftToken(state, this.#mock.rightInEight ?? 5)
      if (j > 0) this.#device.writeDrafter(row, accepted.position + j, state, draft)
      drafts.push(draft)
      state = extendPrefix(state, draft)
    }
    return drafts
  }
}

function kvPassOf({ requests }: StepPlan): number {
  return kvPassRows(requests.map(({ n, inKvPass, catchUpTokens }) => ({ n, inKvPass, catchUp: catchUpTokens.length })))
}

function refuseAbove(name: string, step: number, rows: number, limit: number): void {
  if (rows > limit)
    throw new WeirError('BUDGET_EXCEEDED', `step ${step}: ${rows} rows exceed ${name} ${limit}`, { rows, limit })
}
