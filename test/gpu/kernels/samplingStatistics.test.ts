/** The draws as a statistician sees them. Seeds are fixed, so each test gives one answer for good. */

import { describe, expect, test } from 'vitest'
import { chiSquareDeviation, count } from '../../helpers/chiSquare.ts'
import { hostThreshold } from '../../helpers/hostSampling.ts'
import { probabilities } from '../../helpers/plainSampling.ts'
import type { TestSampling } from '../../helpers/sampledRow.ts'
import { sample } from '../../helpers/samplingKernels.ts'

const DRAWS = 20_480

const SKEWED = Float32Array.from([2, 0.5, -1, 1.5, 1.4, 0, -2, 2.2, 0.9, -0.3, -4, 1, 0.4])
const FLAT = new Float32Array(8)

async function draw(logits: Float32Array, sampling: TestSampling, draws = DRAWS): Promise<Int32Array> {
  const rows = Array.from({ length: draws }, (_, i) => ({ logits, sampling, position: i }))
  return (await sample(rows)).tokens
}

describe('draws follow the distribution', () => {
  const cases: TestSampling[] = [
    { temperature: 1, seed: 1 },
    { temperature: 2.5, seed: 3 + 7 * 2 ** 32, sampleIndex: 1 },
    { temperature: 1, topK: 5, seed: 4 },
    { temperature: 1, topP: 0.7, seed: 5 },
    { temperature: 1.3, topK: 9, topP: 0.85, seed: 6 },
    { temperature: 1, minP: 0.2, seed: 7 },
    { temperature: 1.4, minP: 0.05, topK: 8, topP: 0.9, seed: 8 },
  ]
  test.each(cases)('%o', async (sampling) => {
    const expected = probabilities(SKEWED, sampling.temperature ?? 0, hostThreshold(SKEWED, sampling))
    const observed = count(await draw(SKEWED, sampling), SKEWED.length)
    // 3.7 standard deviations: one seed in 10,000.
    expect(
      Math.abs(
        chiSquareDeviation(
          observed,
          expected.map((p) => p * DRAWS),
        ),
      ),
    ).toBeLessThan(3.7)
  })
})

describe('draws are independent', () => {
  const base: TestSampling = { temperature: 1, seed: 100 + 5 * 2 ** 32 }
  const pairs = new Float64Array(64).fill(DRAWS / 64)

  function expectIndependent(a: Int32Array, b: Int32Array) {
    const joint = Array.from(a.slice(0, DRAWS), (token, i) => token * 8 + (b[i] ?? Number.NaN))
    expect(Math.abs(chiSquareDeviation(count(joint, 64), pairs))).toBeLessThan(3.7)
  }

  test('at positions 1, 2, 16 and 256 apart', async () => {
    const tokens = await draw(FLAT, base, DRAWS + 256)
    for (const lag of [1, 2, 16, 256]) expectIndependent(tokens, tokens.slice(lag))
  })

  test('of those with another seed or sample index', async () => {
    const tokens = await draw(FLAT, base)
    const changes = [101 + 5 * 2 ** 32, 100 + 2 ** 31 + 5 * 2 ** 32, 100 + 4 * 2 ** 32].map((seed) => ({ seed }))
    for (const change of [...changes, { sampleIndex: 1 }])
      expectIndependent(tokens, await draw(FLAT, { ...base, ...change }))
  })

  test('over a large flat vocabulary no part is favoured', async () => {
    const tokens = await draw(new Float32Array(4096), base, 1024)
    const even = new Float64Array(32).fill(32)
    expect(
      Math.abs(
        chiSquareDeviation(
          count(
            Array.from(tokens, (id) => id >> 7),
            32,
          ),
          even,
        ),
      ),
    ).toBeLessThan(3.7)
    expect(
      Math.abs(
        chiSquareDeviation(
          count(
            Array.from(tokens, (id) => id & 31),
            32,
          ),
          even,
        ),
      ),
    ).toBeLessThan(3.7)
  })
})
