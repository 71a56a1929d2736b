/** The draws as a statistician sees them. Seeds are fixed, so each test gives one answer for good. */

import { describe, expect, test } from 'vitest'
import { chiSquareDeviation, count } from '../../helpers/chiSquare.ts'
import { sample } from '../../helpers/samplingKernels.ts'
import { probabilities, type Sampling, smallestKept } from '../../helpers/samplingReference.ts'

const DRAWS = 20_480

const SKEWED = Float32Array.from([2, 0.5, -1, 1.5, 1.4, 0, -2, 2.2, 0.9, -0.3, -4, 1, 0.4])
const FLAT = new Float32Array(8)

async function draw(logits: Float32Array, sampling: Sampling, draws = DRAWS): Promise<Uint32Array> {
  const rows = Array.from({ length: draws }, (_, i) => ({ logits, sampling, position: i }))
  return (await sample(rows)).tokens
}

describe('draws follow the distribution', () => {
  const cases: Sampling[] = [
    { temperature: 1, seedLow: 1 },
    { temperature: 2.5, seedLow: 3, seedHigh: 7, sampleIndex: 1 },
    { temperature: 1, topK: 5, seedLow: 4 },
    { temperature: 1, topP: 0.7, seedLow: 5 },
    { temperature: 1.3, topK: 9, topP: 0.85, seedLow: 6 },
    { temperature: 1, minP: 0.2, seedLow: 7 },
    { temperature: 1.4, minP: 0.05, topK: 8, topP: 0.9, seedLow: 8 },
  ]
  test.each(cases)('%o', async (sampling) => {
    const expected = probabilities(SKEWED, sampling.temperature, smallestKept(SKEWED, sampling))
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
  const base: Sampling = { temperature: 1, seedLow: 100, seedHigh: 5 }
  const pairs = new Float64Array(64).fill(DRAWS / 64)

  function expectIndependent(a: Uint32Array, b: Uint32Array) {
    const joint = Array.from(a.slice(0, DRAWS), (token, i) => token * 8 + (b[i] ?? Number.NaN))
    expect(Math.abs(chiSquareDeviation(count(joint, 64), pairs))).toBeLessThan(3.7)
  }

  test('at positions 1, 2, 16 and 256 apart', async () => {
    const tokens = await draw(FLAT, base, DRAWS + 256)
    for (const lag of [1, 2, 16, 256]) expectIndependent(tokens, tokens.slice(lag))
  })

  test('of those with another seed or sample index', async () => {
    const tokens = await draw(FLAT, base)
    const changes = [{ seedLow: 101 }, { seedLow: 100 + 2 ** 31 }, { seedHigh: 4 }, { sampleIndex: 1 }]
    for (const change of changes) expectIndependent(tokens, await draw(FLAT, { ...base, ...change }))
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
