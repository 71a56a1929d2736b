/** The draws of the host as a statistician sees them. Seeds are fixed, so each test gives one answer for good. */

import { describe, expect, it } from 'vitest'
import { Penalties } from '../../../src/host/sampling/penalties.ts'
import { RowSampler } from '../../../src/host/sampling/rowSampler.ts'
import { rowSampling } from '../../../src/host/sampling/rowSampling.ts'
import { chiSquareDeviation, count } from '../../helpers/chiSquare.ts'
import { adjusted, probabilities, smallestKept } from '../../helpers/plainSampling.ts'
import { samplingParams, type TestSampling } from '../../helpers/sampledRow.ts'
import { normalLogits } from '../../helpers/samplingRows.ts'

const DRAWS = 40_000
const SKEWED = Float32Array.from([2, 0.5, -1, 1.5, 1.4, 0, -2, 2.2, 0.9, -0.3, -4, 1, 0.4])

function draw(logits: Float32Array, sampling: TestSampling, draws = DRAWS): number[] {
  const sampler = new RowSampler(logits.length)
  const row = rowSampling(samplingParams(sampling))
  return Array.from({ length: draws }, (_, position) => sampler.choose(logits, row, position))
}

/** 3.7 standard deviations: one seed in 10,000. */
function expectFit(observed: Float64Array, expected: Float64Array): void {
  expect(Math.abs(chiSquareDeviation(observed, expected))).toBeLessThan(3.7)
}

describe('draws follow the softmax of what is kept', () => {
  const cases: readonly TestSampling[] = [
    { temperature: 1, seed: 1 },
    { temperature: 2.5, seed: 3 + 7 * 2 ** 32, sampleIndex: 1 },
    { temperature: 0.4, seed: 2 },
    { temperature: 1, topK: 5, seed: 4 },
    { temperature: 1, topP: 0.7, seed: 5 },
    { temperature: 1.3, topK: 9, topP: 0.85, seed: 6 },
    { temperature: 1, minP: 0.2, seed: 7 },
    { temperature: 1.4, minP: 0.05, topK: 8, topP: 0.9, seed: 8 },
    { temperature: 1, repetitionPenalty: 1.4, presencePenalty: 0.3, prompt: [0, 3, 6], output: [7, 4, 7, 12], seed: 9 },
  ]
  it.each(cases)('%o', (sampling) => {
    const { prompt = [], output = [] } = sampling
    const logits = adjusted({ logits: SKEWED, sampling, position: 0 })
    const p = probabilities(logits, sampling.temperature ?? 0, smallestKept(logits, sampling))
    const row = SKEWED.slice()
    if (output.length > 0) new Penalties(samplingParams(sampling), [...prompt, ...output], prompt.length).adjust(row)
    expectFit(
      count(draw(row, sampling), SKEWED.length),
      p.map((each) => each * DRAWS),
    )
  })

  it('over a large vocabulary, in groups of tokens', () => {
    const logits = normalLogits(8192, 2, 3)
    const groups = new Float64Array(64)
    probabilities(logits, 1.2, -Infinity).forEach((p, id) => {
      groups[id % 64] = (groups[id % 64] ?? 0) + p * 4000
    })
    const tokens = draw(logits, { temperature: 1.2, seed: 11 }, 4000)
    expectFit(
      count(
        tokens.map((id) => id % 64),
        64,
      ),
      groups,
    )
  })
})

describe('draws are independent', () => {
  const FLAT = new Float32Array(8)
  const pairs = new Float64Array(64).fill(DRAWS / 64)
  const base = { temperature: 1, seed: 100 + 5 * 2 ** 32 }

  function expectIndependent(a: readonly number[], b: readonly number[]): void {
    const joint = Array.from({ length: DRAWS }, (_, i) => (a[i] ?? Number.NaN) * 8 + (b[i] ?? Number.NaN))
    expectFit(count(joint, 64), pairs)
  }

  it('at positions 1, 2, 16 and 256 apart', () => {
    const tokens = draw(FLAT, base, DRAWS + 256)
    for (const lag of [1, 2, 16, 256]) expectIndependent(tokens, tokens.slice(lag))
  })

  it('of those with another seed, in its low or high bits, or another sample index', () => {
    const tokens = draw(FLAT, base)
    const seeds = [base.seed + 1, base.seed + 2 ** 31, base.seed - 2 ** 32].map((seed) => ({ seed }))
    for (const change of [...seeds, { sampleIndex: 1 }]) {
      expectIndependent(tokens, draw(FLAT, { ...base, ...change }))
    }
  })
})
