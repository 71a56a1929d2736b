import { describe, expect, test } from 'vitest'
import { rowDigest } from '../../../src/host/sampling/digest.ts'
import { TABLE_ROW_WORDS } from '../../../src/runner/packPlan.ts'
import { digestHex } from '../../../src/util/digestHex.ts'
import { hostScore, hostToken, NO_TOKEN } from '../../helpers/hostSampling.ts'
import { seededRandom } from '../../helpers/kernelHarness.ts'
import type { SampledRow, TestSampling } from '../../helpers/sampledRow.ts'
import { runChoice, sample, samplingBuffers } from '../../helpers/samplingKernels.ts'
import { invalidRows, normalLogits, validRows } from '../../helpers/samplingRows.ts'

const GREEDY: TestSampling = { temperature: 0, topK: 2, topP: 0.5, seed: 9 }

function greedyRow(logits: Float32Array): SampledRow {
  return { logits, sampling: GREEDY, position: 17 }
}

describe.each([7, 512, 4096, 4099])('vocabulary of %i', (vocabSize) => {
  const valid = Object.values(validRows(vocabSize, vocabSize + 1))
  const invalid = Object.values(invalidRows(vocabSize, 8))

  test('greedy takes the first of the largest, and no token from an invalid row', async () => {
    const rows = [...valid, ...invalid, ...valid].map(greedyRow)
    const expected = rows.map(hostToken)
    expect(expected.filter((token) => token === NO_TOKEN)).toHaveLength(invalid.length)
    expect([...(await sample(rows)).tokens]).toEqual(expected)
  })

  test('drafting is greedy without the request table', async () => {
    const rows = [...valid, ...invalid].map(greedyRow)
    const buffers = { ...samplingBuffers(rows), table: new Uint32Array(TABLE_ROW_WORDS).fill(NO_TOKEN) }
    const far = new Uint32Array(rows.length).fill(NO_TOKEN)
    const drafted = await runChoice({ ...buffers, sampledTable: far }, far, { greedy: true, digest: false })
    expect(drafted.tokens).toEqual((await sample(rows)).tokens)
  })

  test('drafting from part of the vocabulary gives the id of the best column', async () => {
    const rows = [...valid, ...invalid].map(greedyRow)
    const tokenIds = Uint32Array.from({ length: vocabSize }, (_, column) => 3 * column + 5)
    const unused = new Uint32Array(rows.length)
    const drafted = await runChoice(samplingBuffers(rows), unused, { greedy: true, digest: false, tokenIds })
    const expected = rows.map(hostToken).map((token) => (token === NO_TOKEN ? NO_TOKEN : 3 * token + 5))
    expect([...drafted.tokens]).toEqual(expected)
  })

  test('digests are the sums of the hashes of (id, bits)', async () => {
    const rows = [...valid, ...invalid].map(greedyRow)
    const { digests } = await sample(rows)
    const hex = rows.map((_, i) => digestHex(digests[2 * i] ?? 0, digests[2 * i + 1] ?? 0))
    expect(hex).toEqual(rows.map(({ logits }) => rowDigest(logits)))
    expect(new Set(hex).size).toBe(rows.length)
  })

  test('sampling takes the largest logit / T + noise of what is kept', async () => {
    const samplings: TestSampling[] = [
      { temperature: 1, seed: 1 },
      { temperature: 0.8, topK: 50, topP: 0.95, seed: 0x1fffff_deadbeef },
      { temperature: 2, topP: 0.9, seed: 3, sampleIndex: 4 },
      { temperature: 0.1, topK: 5, seed: 3 * 2 ** 32 },
      { temperature: 1, topK: 1 },
      { temperature: 1e-5, seed: 5 },
    ]
    const rows = valid.flatMap((logits, i) =>
      samplings.map((sampling, j) => ({ logits, sampling, position: i * 7 + j })),
    )
    const { tokens } = await sample(rows)
    let exact = 0
    rows.forEach((row, i) => {
      const token = tokens[i] ?? NO_TOKEN
      const best = hostToken(row)
      if (token === best) exact++
      // f32 may reverse two that nearly tie.
      const [chosen, largest] = [hostScore(row, token), hostScore(row, best)]
      expect(chosen, `row ${i}`).toBeGreaterThanOrEqual(largest - 2e-4 - 1e-6 * Math.abs(largest))
    })
    expect(exact / rows.length).toBeGreaterThan(0.9)
  })

  test('an invalid row ends when sampled too', async () => {
    const sampling = { temperature: 0.9, topK: 3, topP: 0.9 }
    const rows = invalid.map((logits) => ({ logits, sampling, position: 1 }))
    expect(new Set((await sample(rows)).tokens)).toEqual(new Set([NO_TOKEN]))
  })
})

test('the choice depends on the row alone, not on its place among others', async () => {
  const random = seededRandom(4)
  const rows = Array.from({ length: 40 }, (_, i) => ({
    logits: normalLogits(512, 2, i % 3),
    sampling: { temperature: i % 4 === 0 ? 0 : 1, topK: i % 5 === 0 ? 20 : 0, seed: i % 2 },
    position: i,
  }))
  const shuffled = rows.map((row, i) => ({ row, i, at: random() })).sort((a, b) => a.at - b.at)
  const together = await sample(rows)
  const moved = await sample(shuffled.map(({ row }) => row))
  const fewer = await sample(rows.slice(0, 3))
  expect([...moved.tokens]).toEqual(shuffled.map(({ i }) => together.tokens[i]))
  expect([...fewer.tokens]).toEqual([...together.tokens.slice(0, 3)])
  expect([...fewer.digests]).toEqual([...together.digests.slice(0, 6)])
})

test('one changed bit, or two values in exchange, change the digest', async () => {
  const logits = normalLogits(512, 2, 1)
  const flipped = logits.slice()
  const words = new Uint32Array(flipped.buffer)
  words[300] = (words[300] ?? 0) ^ 1
  const exchanged = logits.with(10, logits[11] ?? 0).with(11, logits[10] ?? 0)
  const { digests } = await sample([logits, flipped, exchanged].map(greedyRow))
  expect(new Set([0, 2, 4].map((i) => digests[i])).size).toBe(3)
  expect(new Set([1, 3, 5].map((i) => digests[i])).size).toBe(3)
})

test('a vocabulary of 151936', async () => {
  const logits = normalLogits(151936, 2, 7)
  const rows = [GREEDY, { temperature: 1, seed: 1 }, { temperature: 0.8, topK: 50, topP: 0.95, seed: 2 }].map(
    (sampling, position) => ({ logits, sampling, position }),
  )
  const { tokens, digests } = await sample(rows)
  expect(digestHex(digests[4] ?? 0, digests[5] ?? 0)).toBe(rowDigest(logits))
  rows.forEach((row, i) => {
    expect(hostScore(row, tokens[i] ?? NO_TOKEN)).toBeGreaterThanOrEqual(hostScore(row, hostToken(row)) - 2e-4)
  })
})
