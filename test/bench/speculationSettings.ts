/** The settings and length of the speculation benchmark, from environment variables: see `speculation.ts`. */

import type { SpeculativeLoadOptions } from '../../src/index.ts'

const { WEIR_BENCH_ROUNDS = '20', WEIR_BENCH_STREAMS = '1,4,16', WEIR_BENCH_TEMPERATURE = '0.8' } = process.env
const { WEIR_BENCH_SETTINGS, WEIR_BENCH_OPENINGS = '1' } = process.env
export const OPENINGS = Number(WEIR_BENCH_OPENINGS)
/** measured rounds per opening, besides the warm-up round */
export const ROUNDS = Math.ceil(Number(WEIR_BENCH_ROUNDS) / OPENINGS)
export const STREAMS = WEIR_BENCH_STREAMS.split(',').map(Number)
export const TEMPERATURE = Number(WEIR_BENCH_TEMPERATURE)
export const MOST = 4
/** Output tokens of each stream; more for a single one, whose short steps are noisier to measure. */
export const TOKENS = (streams: number): number => (streams === 1 ? 64 : 32)
const REDUCED_VOCAB = 1024

export interface Setting {
  readonly name: string
  readonly speculative: SpeculativeLoadOptions | undefined
  /** `num_speculative_tokens` of every request; undefined: the engine's number */
  readonly wanted?: number
}

const mtp = (drafts: number): SpeculativeLoadOptions => ({
  method: 'mtp',
  numSpeculativeTokens: drafts,
  adaptive: false,
})

export const FIXED: readonly Setting[] = Array.from({ length: MOST + 1 }, (_, drafts) => ({
  name: `${drafts} drafts`,
  speculative: mtp(drafts),
}))

/** A drafter whose KV cache is kept up to date but that no request uses: the overhead of being ready to draft. */
export const READY: Setting = { name: `0 of ${MOST}`, speculative: mtp(MOST), wanted: 0 }

const ALL: readonly Setting[] = [
  { name: 'off', speculative: undefined },
  ...FIXED,
  { name: '0 drafts, again', speculative: mtp(0) },
  READY,
  { name: `2 of ${REDUCED_VOCAB}`, speculative: { ...mtp(2), draftVocabSize: REDUCED_VOCAB } },
  { name: 'adaptive', speculative: { method: 'mtp', numSpeculativeTokens: MOST } },
  { name: 'n-gram', speculative: { method: 'ngram', numSpeculativeTokens: MOST, adaptive: false } },
  { name: 'n-gram, adaptive', speculative: { method: 'ngram', numSpeculativeTokens: MOST } },
]

export const SETTINGS = ALL.filter(({ name }) => (WEIR_BENCH_SETTINGS?.split(';') ?? [name]).includes(name))
