/**
 * A language model of a few integer operations: what comes next is a function of the whole prefix, so a wrong, missing or stale
 * token anywhere in a cache changes everything after it. Its drafter knows the target and is wrong as often as asked.
 */

import type { SamplingParams } from '../../src/core/samplingParams.ts'

export const MOCK_VOCAB_SIZE = 997

/** A hash of a prefix, 32 bits. */
export type PrefixState = number

export const EMPTY_PREFIX: PrefixState = 0x9e3779b9

export function extendPrefix(state: PrefixState, token: number): PrefixState {
  return mix(state ^ Math.imul(token + 1, 0x85ebca6b))
}

/** The token after a prefix. Greedy, or, of a seed, one that is the greedy one about half of the time. */
export function sampleToken(state: PrefixState, { temperature, seed, sampleIndex }: SamplingParams): number {
  if (temperature === 0) return greedyToken(state)
  const noise = mix(mix(state ^ (seed >>> 0)) ^ (Math.floor(seed / 2 ** 32) + sampleIndex + 1))
  return noise % 2 === 0 ? greedyToken(state) : (noise >>> 1) % MOCK_VOCAB_SIZE
}

/** The drafter's guess: the greedy token for `rightInEight` of eight prefixes, another one for the rest. */
export function draftToken(state: PrefixState, rightInEight: number): number {
  const token = greedyToken(state)
  return mix(state ^ 0x5bd1e995) % 8 < rightInEight ? token : (token + 1) % MOCK_VOCAB_SIZE
}

function greedyToken(state: PrefixState): number {
  return mix(state) % MOCK_VOCAB_SIZE
}

/** MurmurHash3's finaliser (Appleby, public domain). */
function mix(value: number): number {
  let h = value >>> 0
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

export function prefixOf(tokens: readonly number[]): PrefixState {
  return tokens.reduce(extendPrefix, EMPTY_PREFIX)
}

/** What the model says after a prompt: the oracle for every engine, batch and policy. */
export function generateAlone(prompt: readonly number[], count: number, sampling: SamplingParams): number[] {
  const output: number[] = []
  for (let state = prefixOf(prompt); output.length < count; ) {
    const token = sampleToken(state, sampling)
    output.push(token)
    state = extendPrefix(state, token)
  }
  return output
}

/** The first `count` drafts after a sequence of committed tokens. */
export function draftsAfter(tokens: readonly number[], count: number, rightInEight: number): number[] {
  const drafts: number[] = []
  for (let state = prefixOf(tokens); drafts.length < count; ) {
    const draft = draftToken(state, rightInEight)
    drafts.push(draft)
    state = extendPrefix(state, draft)
  }
  return drafts
}
