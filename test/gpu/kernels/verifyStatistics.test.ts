/**
 * What verification commits, as a statistician sees it: whatever was drafted, each token follows the distribution that it has
 * without speculation. Seeds are fixed, so each test gives one answer for good.
 */

import { describe, expect, test } from 'vitest'
import { chiSquareDeviation, count } from '../../helpers/chiSquare.ts'
import { adjustedRow, hostThreshold } from '../../helpers/hostSampling.ts'
import { argmax, probabilities } from '../../helpers/plainSampling.ts'
import type { TestSampling } from '../../helpers/sampledRow.ts'
import { type VerifiedRequest, verifySampled } from '../../helpers/verifyKernels.ts'

const REQUESTS = 20_480
const LOGITS = [
  [2, 0.5, -1, 1.5, 1.4, 0, -2, 2.2, 0.9, -0.3, -4, 1, 0.4],
  [1.9, 0.2, 0.1, -1.5, 1.2, 0.6, -2, 2.6, 0.3, 0.7, -3, 1, -0.4],
  [1.4, 2.1, -1, 0.5, 1.4, 0.2, -1, 2.4, -0.9, -0.3, 0, 1.7, 0.8],
].map((row) => Float32Array.from(row))

const HISTORY = { prompt: [0, 3, 3, 6], output: [7, 4, 7, 12] }
const PENALTIES = { ...HISTORY, repetitionPenalty: 1.4, presencePenalty: 0.3, frequencyPenalty: 0.25 }

const CASES: readonly TestSampling[] = [
  { temperature: 1, seed: 1 },
  { temperature: 1, topP: 0.7, seed: 2 },
  { temperature: 1.2, minP: 0.15, seed: 3 },
  { ...PENALTIES, temperature: 1, seed: 4 },
  { ...PENALTIES, temperature: 1.1, topP: 0.85, seed: 5 },
  { temperature: 1, logitBias: biased({ 7: -1.25, 10: 5.5 }), seed: 6 },
  { ...PENALTIES, temperature: 1.2, logitBias: biased({ 2: 2, 7: 1 }), minP: 0.03, topK: 10, topP: 0.95, seed: 7 },
]

/** What is added to the logit of each token, by id. */
function biased(byId: Readonly<Record<number, number>>): [number, number][] {
  return Object.entries(byId).map(([id, bias]) => [Number(id), bias])
}

/** The exact distribution of the token after `drafts`. */
function distribution(sampling: TestSampling, drafts: readonly number[]): Float64Array {
  const logits = LOGITS[drafts.length] ?? new Float32Array()
  const row = adjustedRow({ logits, sampling, position: 0, drafts })
  return probabilities(row.logits, sampling.temperature ?? 0, hostThreshold(row.logits, sampling))
}

function deviation(observed: Float64Array, p: Float64Array): number {
  const total = observed.reduce((a, b) => a + b, 0)
  return Math.abs(
    chiSquareDeviation(
      observed,
      p.map((x) => x * total),
    ),
  )
}

describe('committed tokens follow the distribution', () => {
  test.each(CASES)('%o', async (sampling) => {
    const first = argmax(distribution(sampling, []))
    const drafts = [first, argmax(distribution(sampling, [first]))]
    const requests = Array.from(
      { length: REQUESTS },
      (_, i): VerifiedRequest => ({ sampling: { ...sampling }, drafts, logits: LOGITS, position: 3 * i }),
    )
    const { outcomes } = await verifySampled(requests, 'serial')
    for (let j = 0; j <= drafts.length; j++) {
      const tokens = outcomes.flatMap((outcome) => outcome.tokens.slice(j, j + 1))
      const observed = count(tokens, 13)
      expect(tokens.length).toBeGreaterThan(REQUESTS / 50)
      // 3.7 standard deviations: one seed in 10,000.
      expect(deviation(observed, distribution(sampling, drafts.slice(0, j))), `token ${j}`).toBeLessThan(3.7)
    }
    if (!sampling.presencePenalty || sampling.topP) return
    // The same numbers tell that the draft before it was counted.
    const second = count(
      outcomes.flatMap(({ tokens }) => tokens.slice(1, 2)),
      13,
    )
    const uncounted = adjustedRow({ logits: LOGITS[1] ?? new Float32Array(), sampling, position: 0 }).logits
    const p = probabilities(uncounted, sampling.temperature ?? 0, hostThreshold(uncounted, sampling))
    expect(
      deviation(
        second.map((n, id) => (p[id] ? n : 0)),
        p,
      ),
    ).toBeGreaterThan(6)
  })
})
