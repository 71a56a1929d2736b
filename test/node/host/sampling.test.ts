/** Sampling on the host against its definitions, on ordinary rows and every odd one. */

import { describe, expect, it } from 'vitest'
import { NO_TOKEN } from '../../../src/host/sampling/choice.ts'
import { rowDigest } from '../../../src/host/sampling/digest.ts'
import { gumbel, MOST_NOISE, RowNoise } from '../../../src/host/sampling/noise.ts'
import { RowSampler } from '../../../src/host/sampling/rowSampler.ts'
import { rowSampling } from '../../../src/host/sampling/rowSampling.ts'
import { Thresholds } from '../../../src/host/sampling/thresholds.ts'
import { adjustedRow } from '../../helpers/hostSampling.ts'
import {
  adjusted,
  argmax,
  keptBeforeTopP,
  plainChoice,
  plainDigest,
  plainNoise,
  probabilities,
  scores,
  smallestKept,
} from '../../helpers/plainSampling.ts'
import { randomInts } from '../../helpers/random.ts'
import { type SampledRow, samplingParams, type TestSampling } from '../../helpers/sampledRow.ts'
import { invalidRows, normalLogits, validRows } from '../../helpers/samplingRows.ts'

const SIZES = [4, 7, 512, 4099]

const CUTS: readonly TestSampling[] = [
  { temperature: 1, topK: 5 },
  { temperature: 0.8, topK: 3, topP: 0.95 },
  { temperature: 1, topP: 0.5 },
  { temperature: 1.7, topP: 0.999 },
  { temperature: 0.05, topP: 0.9 },
  { temperature: 1, topK: 1 },
  { temperature: 1, topK: 700 },
  { temperature: 1, minP: 0.1 },
  { temperature: 0.7, minP: 1 },
  { temperature: 1.2, minP: 0.02, topP: 0.8 },
  { temperature: 1, minP: 1e-6, topK: 4, topP: 0.9 },
  { temperature: 1, topP: 1e-9 },
  { temperature: 2, topK: 6, topP: 1 - 2 ** -24 },
  { temperature: 100, topP: 0.97 },
  { temperature: 1e-5, topK: 40, topP: 0.97 },
  { temperature: 1 },
]

/** One set of scratch arrays for all, so that nothing may stay of the row before. */
const thresholds = new Map(SIZES.map((size) => [size, new Thresholds(size)]))
const samplers = new Map([...SIZES, 20_000].map((size) => [size, new RowSampler(size)]))

function choose({ logits, sampling, position }: SampledRow): number | undefined {
  return samplers.get(logits.length)?.choose(logits, rowSampling(samplingParams(sampling)), position)
}

describe.each(SIZES)('vocabulary of %i', (vocabSize) => {
  const valid = Object.entries(validRows(vocabSize, vocabSize + 1))
  const invalid = Object.values(invalidRows(vocabSize, 8))

  it('keeps down to the logit at which sorted probabilities reach top-p, after the k-th and the margin of min-p', () => {
    for (const [name, logits] of valid) {
      for (const sampling of CUTS) {
        const what = `${name} ${JSON.stringify(sampling)}`
        const peak = Math.max(...logits)
        const kept = thresholds.get(vocabSize)?.smallestKept(logits, peak, rowSampling(samplingParams(sampling)))
        const before = keptBeforeTopP(logits, sampling)
        if (sampling.topP === undefined) {
          // -0 and 0 are one logit.
          expect((kept ?? Number.NaN) + 0, what).toBe(before + 0)
          continue
        }
        expect(logits, what).toContain(kept)
        const p = probabilities(logits, Math.fround(sampling.temperature ?? 0), before)
        let [above, reached] = [0, 0]
        logits.forEach((x, id) => {
          if (x > (kept ?? 0)) above += p[id] ?? 0
          if (x >= (kept ?? 0)) reached += p[id] ?? 0
        })
        // Probabilities are good to 2^-31.
        const topP = Math.fround(sampling.topP)
        expect(above, what).toBeLessThan(topP + 1e-9)
        expect(reached, what).toBeGreaterThan(topP - 1e-9)
        expect(kept, what).toBeGreaterThanOrEqual(before)
      }
    }
  })

  it('chooses the token with the best score of all', () => {
    for (const [index, [name, logits]] of valid.entries()) {
      for (const [i, cut] of CUTS.entries()) {
        const sampling = { ...cut, seed: 1 + i * 2 ** 34 + index, sampleIndex: i % 3 }
        for (let position = 0; position < (vocabSize > 1000 ? 1 : 6); position++) {
          const row = { logits, sampling, position }
          const peak = Math.max(...logits)
          const kept = thresholds.get(vocabSize)?.smallestKept(logits, peak, rowSampling(samplingParams(sampling)))
          const best = argmax(scores(row, kept ?? Number.NaN))
          expect(choose(row), `${name} ${JSON.stringify(sampling)} at ${position}`).toBe(best)
        }
      }
    }
  })

  it('takes the first of the largest where the temperature is 0 or next to it', () => {
    for (const [, logits] of valid) {
      for (const temperature of [0, 9e-6]) {
        expect(choose({ logits, sampling: { temperature, topK: 2, topP: 0.5, seed: 9 }, position: 17 })).toBe(
          argmax(logits),
        )
      }
    }
  })

  it('gives no token of a row with NaN or +infinity, nor of one all masked', () => {
    for (const logits of invalid) {
      for (const sampling of [{ temperature: 0 }, { temperature: 0.9, topK: 3, topP: 0.9 }]) {
        expect(choose({ logits, sampling, position: 1 })).toBe(NO_TOKEN)
      }
    }
  })

  it('digests a row to the sum of its hashes, wherever the row lies in memory', () => {
    for (const logits of [...valid.map(([, row]) => row), ...invalid]) {
      const shifted = new Float32Array(logits.length + 3)
      new Uint32Array(shifted.buffer).set(new Uint32Array(logits.buffer, logits.byteOffset, logits.length), 3)
      expect(rowDigest(shifted.subarray(3))).toBe(plainDigest(logits))
    }
  })
})

describe('the choice', () => {
  it('is that of the definitions as a whole: penalties, cuts, noise', () => {
    const logits = normalLogits(512, 3, 3)
    for (let position = 0; position < 300; position++) {
      const sampling: TestSampling = {
        temperature: [0, 0.7, 1, 1.9][position % 4] ?? 0,
        topK: position % 3 === 0 ? 40 : 0,
        topP: position % 5 === 0 ? 0.9 : 1,
        minP: position % 7 === 0 ? 0.05 : 0,
        repetitionPenalty: 1.2,
        frequencyPenalty: 0.3,
        prompt: [...randomInts(position, 30, 512)],
        output: [...randomInts(position + 1, 20, 40)],
        seed: position,
      }
      const row = { logits, sampling, position, drafts: [1, 2, 1] }
      expect(choose(adjustedRow(row))).toBe(plainChoice(row))
    }
  })

  it('depends on nothing but the row: not on what was chosen before', () => {
    const rows = Array.from({ length: 60 }, (_, i) => ({
      logits: normalLogits(512, 1 + (i % 5), i),
      sampling: CUTS[i % CUTS.length] as TestSampling,
      position: i,
    }))
    const rising = rows.map(choose)
    expect(rows.toReversed().map(choose)).toEqual(rising.toReversed())
  })

  it('is exact where thousands of tokens may win', () => {
    const narrow = normalLogits(20_000, 0.2, 5)
    for (let position = 0; position < 12; position++) {
      const row = { logits: narrow, sampling: { temperature: 1, seed: 7 }, position }
      expect(choose(row)).toBe(argmax(scores(row, -Infinity)))
    }
  })

  it('goes to the lowest id where scores tie, also before the likeliest one', () => {
    // Token pairs whose 32 bits are the same do not exist in small rows; greedy ties do.
    expect(choose({ logits: new Float32Array(7).fill(2), sampling: { temperature: 0 }, position: 0 })).toBe(0)
    expect(choose({ logits: Float32Array.of(-0, 0, -1, 0, -0, 0, 0), sampling: {}, position: 0 })).toBe(0)
  })
})

describe('noise', () => {
  it('is the published hash of seed, sample index, position and token', () => {
    const noise = new RowNoise()
    for (const [i, seed] of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 0x1fffff_deadbeef].entries()) {
      const row = { logits: new Float32Array(), sampling: { seed, sampleIndex: i }, position: 1000 * i + 3 }
      noise.start({ seed, sampleIndex: i }, row.position)
      for (const token of [0, 1, 2, 997, 151_935]) {
        expect(gumbel(noise.bits(token)), `${seed}, ${token}`).toBe(plainNoise(row, token))
      }
    }
  })

  it('falls as the bits rise and never passes its bound', () => {
    const bits = [0, 1, 2, 3, 2 ** 10, 2 ** 24 - 1, 2 ** 24, 2 ** 31, 2 ** 32 - 2 ** 10]
    const values = bits.map(gumbel)
    expect(values.toSorted((a, b) => b - a)).toEqual(values)
    expect(values[0]).toBeLessThan(MOST_NOISE)
    expect(values[0]).toBeGreaterThan(MOST_NOISE - 0.05)
    expect(gumbel(2 ** 32 - 1)).toBeGreaterThan(-3)
  })
})

describe('penalties', () => {
  /** Every way to adjust, alone and together. */
  const wishes: readonly TestSampling[] = [
    { repetitionPenalty: 1.3 },
    { repetitionPenalty: 0.01 },
    { presencePenalty: 1.5, frequencyPenalty: -0.3 },
    { repetitionPenalty: 100, presencePenalty: -2, frequencyPenalty: 2 },
    { logitBias: [[6, 100]] },
    {
      repetitionPenalty: 1.1,
      presencePenalty: 0.6,
      frequencyPenalty: 0.4,
      logitBias: Array.from({ length: 7 }, (_, i) => [i, (i % 41) * 5 - 15] as const),
    },
    {},
  ]

  it.each([7, 300])(
    'are those of the definition, bit for bit, and leave NaN and infinity alone; vocabulary %i',
    (vocabSize) => {
      const rows = { ...validRows(vocabSize, 5), ...invalidRows(vocabSize, 6) }
      for (const [name, logits] of Object.entries(rows)) {
        for (const [i, wish] of wishes.entries()) {
          const prompt = [...randomInts(i, 20, vocabSize)]
          const sampling = {
            ...wish,
            prompt,
            output: [...randomInts(i + 9, 3 * i, 12 % vocabSize), ...prompt.slice(0, i)],
          }
          const row = { logits, sampling, position: 0, drafts: [prompt[0] ?? 0, 3, 3].slice(0, i % 4) }
          expect(plainDigest(adjustedRow(row).logits), `${name} ${JSON.stringify(wish)}`).toBe(
            plainDigest(adjusted(row)),
          )
        }
      }
    },
  )
})

describe('top-p', () => {
  it('is off where it is 1 as the GPU reads it', () => {
    const row = rowSampling(samplingParams({ temperature: 1, topP: 1 - 2 ** -26 }))
    expect(new Thresholds(7).smallestKept(normalLogits(7, 1, 1), 3, row)).toBe(-Infinity)
  })

  it('does not lose what lies far below the largest logit', () => {
    // Half of the probability is in tokens 9 temperatures down.
    const logits = new Float32Array(8104).fill(-9).with(4000, 0)
    const sampling = { temperature: 1, topP: 0.49 }
    expect(smallestKept(logits, sampling)).toBe(0)
    const kept = new Thresholds(8104).smallestKept(logits, 0, rowSampling(samplingParams(sampling)))
    expect(kept).toBe(0)
    const more = new Thresholds(8104).smallestKept(
      logits,
      0,
      rowSampling(samplingParams({ temperature: 1, topP: 0.6 })),
    )
    expect(more).toBe(-9)
  })
})
