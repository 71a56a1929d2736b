/** The trace of a simulation: its requests with their arrival times. All compared variants run the same trace. */

import { type ArrivalProcess, drawGap, drawLength, type LengthDistribution } from './distributions.ts'
import { Random } from './random.ts'

/** Token ids of the simulated model are below it. */
export const VOCAB_SIZE = 32_000

/** Number of different shared prefixes. */
const SHARED_PREFIXES = 4

export interface WorkloadSpec {
  readonly requests: number
  readonly arrival: ArrivalProcess
  readonly prompt: LengthDistribution
  readonly output: LengthDistribution
  /** `fraction` of the requests begin with one of SHARED_PREFIXES prefixes of `tokens` tokens */
  readonly sharedPrefix: { readonly fraction: number; readonly tokens: number } | undefined
  /** each request draws one at random */
  readonly priorities: readonly number[]
}

export interface ArrivingRequest {
  readonly id: number
  /** milliseconds of virtual time */
  readonly arrivesAt: number
  readonly promptTokenIds: readonly number[]
  readonly maxTokens: number
  readonly priority: number
}

/** In order of arrival. Prompts and outputs are shortened so that every request fits `maxModelLen`. */
export function buildTrace(spec: WorkloadSpec, maxModelLen: number, seed: number): readonly ArrivingRequest[] {
  const arrivals = new Random(seed, 1)
  const prompts = new Random(seed, 2)
  const outputs = new Random(seed, 3)
  const tokens = new Random(seed, 4)
  const prefixes = new Random(seed, 5)
  const priorities = new Random(seed, 6)
  const shared = Array.from({ length: SHARED_PREFIXES }, () => drawIds(spec.sharedPrefix?.tokens ?? 0, tokens))
  let arrivesAt = 0
  return Array.from({ length: spec.requests }, (_, id) => {
    if (id > 0) arrivesAt += drawGap(spec.arrival, arrivals)
    const shares = prefixes.fraction() < (spec.sharedPrefix?.fraction ?? 0)
    const prefix = (shares && shared[prefixes.integer(SHARED_PREFIXES)]) || []
    const own = drawIds(Math.min(drawLength(spec.prompt, prompts), maxModelLen - 1 - prefix.length), tokens)
    const promptTokenIds = [...prefix, ...own]
    const maxTokens = Math.min(drawLength(spec.output, outputs), maxModelLen - promptTokenIds.length)
    const priority = spec.priorities[priorities.integer(spec.priorities.length)] ?? 0
    return { id, arrivesAt, promptTokenIds, maxTokens, priority }
  })
}

function drawIds(count: number, random: Random): number[] {
  return Array.from({ length: count }, () => random.integer(VOCAB_SIZE))
}
