/** What the benchmark of speculation is asked to compare, and for how long: see `speculation.ts`. */

import type { SpeculativeLoadOptions } from '../../src/index.ts'

const { WEIR_BENCH_ROUNDS = '20', WEIR_BENCH_STREAMS = '1,4,16', WEIR_BENCH_TEMPERATURE = '0.8' } = process.env
const { WEIR_BENCH_SETTINGS, WEIR_BENCH_OPENINGS = '1' } = process.env
export const OPENINGS = Number(WEIR_BENCH_OPENINGS)
/** of each opening, and one that does not count */
export const ROUNDS = Math.ceil(Number(WEIR_BENCH_ROUNDS) / OPENINGS)
export const STREAMS = WEIR_BENCH_STREAMS.split(',').map(Number)
export const TEMPERATURE = Number(WEIR_BENCH_TEMPERATURE)
export const MOST = 4
/** Tokens of each stream: of a single one more, because the steps are short and the machine is noisy. */
export const TOKENS = (streams: number): number => (streams === 1 ? 64 : 32)
const REDUCED_VOCAB = 1024

export interface Setting {
  readonly name: string
  readonly speculative: SpeculativeLoadOptions | undefined
  /** drafts that every request wants at most; undefined: as many as there are */
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

/** A drafter whose cache is kept up to date, and that nobody asks: what being able to draft costs. */
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
