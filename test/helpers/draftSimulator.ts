/**
 * Steps of decoding streams with drafts, in virtual time: a cost model, an acceptance model, and a policy that decides how many
 * drafts there are. No scheduler and no runner, so that a law about the policy is about nothing else.
 */

import type { VerifiedDrafts } from '../../src/core/speculation/acceptanceRates.ts'
import type { DraftDecision, DraftPolicy } from '../../src/core/speculation/draftPolicy.ts'
import { Random } from '../bench/simulator/random.ts'

/** Milliseconds. */
export interface DraftCosts {
  readonly target: (rows: number) => number
  /** one draft pass of so many requests */
  readonly pass: (drafting: number) => number
  /** a row of the drafter's KV pass; 0 unless said */
  readonly kvRow?: number
}

/** What surrounds one step. */
export interface Surroundings {
  readonly streams: number
  /** rows of prompts that want to run beside them */
  readonly prefillRows?: number
  /** chance that the draft at a position (0…) of a stream is right, those before it being right */
  readonly acceptance: (stream: number, position: number) => number
}

export interface SimulationSetup {
  readonly drafts: number
  readonly costs: DraftCosts
  /** of step 0… */
  readonly at: (step: number) => Surroundings
  readonly steps: number
  readonly seed: number
  /** standard deviation of a step's time, as a part of it */
  readonly noise?: number
  /** one step in so many takes ten times as long */
  readonly strayEvery?: number
  /** how many times as long the machine takes at a step, whatever it does; 1 unless said */
  readonly slowness?: (step: number) => number
  /** B */
  readonly maxRows?: number
  readonly verifiedAtOnce?: boolean
  /** tokens of a request that comes new, which the drafter has not taken up unless it follows just then; 0 unless said */
  readonly promptTokens?: number
}

/** Tokens after which the request of a stream ends, and another of its kind takes its place. */
const REQUEST_TOKENS = 256

export interface SimulatedStep {
  readonly decision: DraftDecision
  /** most drafts verified for a stream */
  readonly k: number
  readonly streams: number
  readonly tokens: number
  /** tokens that so many drafts bring in the mean */
  readonly expectedTokens: number
  readonly prefillRows: number
  readonly rows: number
  /** draft passes */
  readonly passes: number
  /** rows of earlier steps that the drafter took up */
  readonly catchUpRows: number
  /** these and the rows of this step that it took up */
  readonly kvPassRows: number
  /** without noise, on the machine at its best */
  readonly trueMs: number
  readonly ms: number
}

export function simulateDrafts(policy: DraftPolicy, setup: SimulationSetup): SimulatedStep[] {
  const luck = new Random(setup.seed, 1)
  const jitter = new Random(setup.seed, 2)
  const {
    drafts,
    costs,
    noise = 0,
    maxRows = Number.POSITIVE_INFINITY,
    verifiedAtOnce = false,
    promptTokens = 0,
  } = setup
  const steps: SimulatedStep[] = []
  let proposed: number[] = []
  const lags: number[] = []
  const tokensLeft: number[] = []
  for (let step = 0; step < setup.steps; step++) {
    const { streams, prefillRows: wantedRows = 0, acceptance } = setup.at(step)
    const ids = Array.from({ length: streams }, (_, id) => id)
    for (let id = streams; id < lags.length; id++) policy.forget(id)
    lags.length = Math.min(lags.length, streams)
    for (const id of ids) {
      if (id < lags.length && (tokensLeft[id] ?? 0) > 0) continue
      lags[id] = steps.at(-1)?.decision.runKvPass ? 0 : promptTokens
      tokensLeft[id] = REQUEST_TOKENS
    }
    const room = maxRows - streams
    const setAside = Math.min(wantedRows, room, Math.ceil(maxRows / 4))
    const draftRows = room - setAside
    const prompts = Math.min(wantedRows, room)
    const decision = policy.decide({
      requests: ids.map((id) => ({ id, limit: drafts, lag: verifiedAtOnce ? 0 : (lags[id] ?? 0) })),
      prefillRows: prompts,
      draftRows,
    })
    const k = verifiedAtOnce ? ids.map((id) => draftsFor(decision, id)) : ids.map((id) => proposed[id] ?? 0)
    // As the scheduler does: rows for the drafter to catch up are set aside like those of prompts.
    const late = ids.reduce(
      (sum, id) => sum + (decision.runKvPass && decision.fewer.get(id) !== 0 ? (lags[id] ?? 0) : 0),
      0,
    )
    trim(
      k,
      verifiedAtOnce ? draftRows : Math.min(draftRows, room - Math.min(setAside + late, room, Math.ceil(maxRows / 4))),
    )
    const verified = ids.map((id) => {
      const own = k[id] ?? 0
      let accepted = 0
      while (accepted < own && luck.fraction() < acceptance(id, accepted)) accepted++
      return { id, k: own, accepted }
    })
    const used = k.reduce((sum, own) => sum + own, 0)
    const prefillRows = Math.min(prompts, room - used)
    const rows = streams + used + prefillRows
    const kvPass = verifiedAtOnce ? NO_KV_PASS : takeUp(lags, decision, verified, maxRows)
    proposed = verifiedAtOnce ? [] : ids.map((id) => (kvPass.follows.has(id) ? draftsFor(decision, id) : 0))
    const draftPasses = Math.max(0, ...proposed)
    const drafting = proposed.filter((m) => m > 0).length
    const trueMs = costs.target(rows) + draftPasses * costs.pass(drafting) + kvPass.rows * (costs.kvRow ?? 0)
    const { catchUpRows } = kvPass
    const stray = setup.strayEvery !== undefined && jitter.integer(setup.strayEvery) === 0 ? 10 : 1
    const slow = setup.slowness?.(step) ?? 1
    const ms = trueMs * slow * stray * Math.exp(noise * jitter.normal() - (noise * noise) / 2)
    policy.observe({ requests: verified, prefillRows, draftPasses, catchUpRows, kvPassRows: kvPass.rows, ms })
    for (const { id, accepted } of verified) tokensLeft[id] = (tokensLeft[id] ?? 0) - 1 - accepted
    const tokens = verified.reduce((sum, { accepted }) => sum + 1 + accepted, 0)
    const expectedTokens = ids.reduce((sum, id) => sum + expectedOf(k[id] ?? 0, id, acceptance), 0)
    const most = Math.max(0, ...k)
    steps.push({
      decision,
      k: most,
      streams,
      tokens,
      expectedTokens,
      prefillRows,
      rows,
      passes: draftPasses,
      catchUpRows,
      kvPassRows: kvPass.rows,
      trueMs,
      ms,
    })
  }
  return steps
}

interface KvPass {
  readonly follows: ReadonlySet<number>
  readonly rows: number
  readonly catchUpRows: number
}

const NO_KV_PASS: KvPass = { follows: new Set(), rows: 0, catchUpRows: 0 }

/** The drafter's KV pass covers rows of requests that may get drafts, at most `maxRows`, as the scheduler gives them out. */
function takeUp(
  lags: number[],
  { runKvPass, fewer }: DraftDecision,
  verified: readonly VerifiedDrafts[],
  maxRows: number,
): KvPass {
  const wanted = (id: number) => runKvPass && fewer.get(id) !== 0
  const follows = new Set(verified.filter(({ id }) => lags[id] === 0 && wanted(id)).map(({ id }) => id))
  let rows = verified.reduce((sum, { id, k }) => sum + (follows.has(id) ? 1 + k : 0), 0)
  let catchUpRows = 0
  for (const { id, k, accepted } of verified) {
    if (follows.has(id)) continue
    const lag = lags[id] ?? 0
    const caught = wanted(id) ? Math.min(lag, maxRows - rows) : 0
    rows += caught
    catchUpRows += caught
    if (wanted(id) && caught === lag && 1 + k <= maxRows - rows) {
      follows.add(id)
      rows += 1 + k
      lags[id] = 0
    } else lags[id] = lag - caught + 1 + accepted
  }
  return { follows, rows, catchUpRows }
}

function draftsFor({ k, fewer }: DraftDecision, id: number): number {
  return fewer.get(id) ?? k
}

/** Takes drafts of the last round first until they fit. */
function trim(k: number[], room: number): void {
  let rows = k.reduce((sum, own) => sum + own, 0)
  while (rows > room) {
    const most = Math.max(...k)
    k[k.lastIndexOf(most)] = most - 1
    rows--
  }
}

/** Tokens that a stream with `k` drafts commits in the mean. */
function expectedOf(k: number, stream: number, acceptance: Surroundings['acceptance']): number {
  let tokens = 1
  let chance = 1
  for (let position = 0; position < k; position++) {
    chance *= acceptance(stream, position)
    tokens += chance
  }
  return tokens
}

/** Tokens per millisecond of steps, without the luck of drafts and the noise of times. */
export function goodputOf(steps: readonly SimulatedStep[]): number {
  let tokens = 0
  let ms = 0
  for (const step of steps) {
    tokens += step.expectedTokens
    ms += step.trueMs
  }
  return tokens / ms
}

/** Expected tokens per millisecond of decoding with the same number of drafts for ever: [0…drafts]. */
export function fixedGoodputs(
  drafts: number,
  costs: DraftCosts,
  { streams, acceptance }: Surroundings,
  maxRows = Number.POSITIVE_INFINITY,
): number[] {
  return Array.from({ length: drafts + 1 }, (_, k) => {
    const own = Array.from({ length: streams }, () => k)
    trim(own, maxRows - streams)
    let tokens = 0
    let rows = 0
    own.forEach((length, stream) => {
      rows += 1 + length
      tokens += expectedOf(length, stream, acceptance)
    })
    const kvPass = k > 0 ? rows * (costs.kvRow ?? 0) : 0
    return tokens / (costs.target(rows) + k * costs.pass(streams) + kvPass)
  })
}

export const COSTS: Readonly<Record<string, DraftCosts>> = {
  flat: { target: () => 10, pass: () => 0.6 },
  linear: { target: (rows) => 4 + 0.9 * rows, pass: (drafting) => 0.3 + 0.05 * drafting, kvRow: 0.03 },
  stepped: { target: (rows) => 4 + 5 * Math.ceil(rows / 8), pass: () => 0.4, kvRow: 0.02 },
  // A software adapter: every row costs nearly as much as a step of one.
  steep: { target: (rows) => 0.4 + 2 * rows, pass: (drafting) => 0.6 * drafting, kvRow: 0.1 },
}
