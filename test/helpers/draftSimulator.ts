/**
 * Steps of decoding streams with drafts, in virtual time: a cost model, an acceptance model, and a policy that decides how many
 * drafts there are. No scheduler and no runner, so that a law about the policy is about nothing else.
 */

import type { DraftDecision, DraftPolicy } from '../../src/core/drafting/draftPolicy.ts'
import { Random } from '../bench/simulator/random.ts'

/** Milliseconds. */
export interface DraftCosts {
  readonly target: (rows: number) => number
  /** one draft pass of so many requests */
  readonly pass: (drafting: number) => number
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
  /** B */
  readonly maxRows?: number
  readonly verifiedAtOnce?: boolean
}

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
  /** without noise */
  readonly trueMs: number
  readonly ms: number
}

export function simulateDrafts(policy: DraftPolicy, setup: SimulationSetup): SimulatedStep[] {
  const luck = new Random(setup.seed, 1)
  const jitter = new Random(setup.seed, 2)
  const { drafts, costs, noise = 0, maxRows = Number.POSITIVE_INFINITY, verifiedAtOnce = false } = setup
  const steps: SimulatedStep[] = []
  let proposed: number[] = []
  for (let step = 0; step < setup.steps; step++) {
    const { streams, prefillRows: wantedRows = 0, acceptance } = setup.at(step)
    const ids = Array.from({ length: streams }, (_, id) => id)
    for (let id = streams; id < proposed.length; id++) policy.forget(id)
    const room = maxRows - streams
    const setAside = Math.min(wantedRows, room, Math.ceil(maxRows / 4))
    const draftRows = room - setAside
    const prompts = Math.min(wantedRows, room)
    const decision = policy.decide({
      requests: ids.map((id) => ({ id, limit: drafts })),
      prefillRows: prompts,
      draftRows,
    })
    const k = verifiedAtOnce ? ids.map((id) => draftsFor(decision, id)) : ids.map((id) => proposed[id] ?? 0)
    trim(k, draftRows)
    const verified = ids.map((id) => {
      const own = k[id] ?? 0
      let accepted = 0
      while (accepted < own && luck.fraction() < acceptance(id, accepted)) accepted++
      return { id, k: own, accepted }
    })
    const used = k.reduce((sum, own) => sum + own, 0)
    const prefillRows = Math.min(prompts, room - used)
    const rows = streams + used + prefillRows
    proposed = verifiedAtOnce ? [] : ids.map((id) => draftsFor(decision, id))
    const draftPasses = Math.max(0, ...proposed)
    const drafting = proposed.filter((m) => m > 0).length
    const trueMs = costs.target(rows) + draftPasses * costs.pass(drafting)
    const stray = setup.strayEvery !== undefined && jitter.integer(setup.strayEvery) === 0 ? 10 : 1
    const ms = trueMs * stray * Math.exp(noise * jitter.normal() - (noise * noise) / 2)
    policy.observe({ requests: verified, prefillRows, drafting, draftPasses, ms })
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
      trueMs,
      ms,
    })
  }
  return steps
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
    return tokens / (costs.target(rows) + k * costs.pass(streams))
  })
}

export const COSTS: Readonly<Record<string, DraftCosts>> = {
  flat: { target: () => 10, pass: () => 0.6 },
  linear: { target: (rows) => 4 + 0.9 * rows, pass: (drafting) => 0.3 + 0.05 * drafting },
  stepped: { target: (rows) => 4 + 5 * Math.ceil(rows / 8), pass: () => 0.4 },
  // A software adapter: every row costs nearly as much as a step of one.
  steep: { target: (rows) => 0.4 + 2 * rows, pass: (drafting) => 0.6 * drafting },
}
