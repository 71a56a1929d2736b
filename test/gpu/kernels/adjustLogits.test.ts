/** Penalties and logit bias against a slow plain reference, through the kernels of a step. */

import { describe, expect, test } from 'vitest'
import { rowDigest } from '../../../src/host/sampling/digest.ts'
import { packAdjustments } from '../../../src/kernels/adjustLogits.ts'
import { digestHex } from '../../../src/util/digestHex.ts'
import { adjustedRow, hostScore, hostToken } from '../../helpers/hostSampling.ts'
import { expectAllClose, randomInts, seededRandom } from '../../helpers/kernelHarness.ts'
import { isInvalidRow, type TestSampling } from '../../helpers/sampledRow.ts'
import { invalidRows, normalLogits, validRows } from '../../helpers/samplingRows.ts'
import { type VerifiedRequest, verifySampled } from '../../helpers/verifyKernels.ts'

/** Every way to adjust, alone and together, and some that adjust nothing. */
function wishes(vocabSize: number): TestSampling[] {
  const logitBias = Array.from({ length: Math.min(300, vocabSize) }, (_, i) => [i, (i % 41) * 5 - 100] as const)
  return [
    { temperature: 0 },
    { temperature: 0, repetitionPenalty: 1.3 },
    { temperature: 0, presencePenalty: 1.5, frequencyPenalty: -0.3 },
    { temperature: 0, logitBias: [[vocabSize - 1, 100]] },
    { temperature: 1 },
    { temperature: 1, repetitionPenalty: 0.01, seed: 1 },
    { temperature: 1, repetitionPenalty: 100, presencePenalty: -2, frequencyPenalty: 2, seed: 2 },
    {
      temperature: 0.7,
      repetitionPenalty: 1.1,
      presencePenalty: 0.6,
      frequencyPenalty: 0.4,
      logitBias,
      topK: 20,
      topP: 0.9,
      seed: 3,
    },
    { temperature: 1.5, frequencyPenalty: 0.2, minP: 0.05, seed: 4 },
  ]
}

/** A request for each wish and named row, with 0 to 4 drafts that repeat tokens of each other, the prompt and the output. */
function requestsOf(rows: readonly Float32Array[], vocabSize: number): VerifiedRequest[] {
  return wishes(vocabSize).flatMap((wish, i) =>
    rows.map((logits, j) => {
      const salt = 100 * i + j
      const prompt = [...randomInts(salt, 1 + (salt % 50), vocabSize)]
      const output = [...randomInts(salt + 7, salt % 40, Math.min(vocabSize, 12)), ...prompt.slice(0, salt % 3)]
      const k = salt % 5
      const best = hostToken({ logits, sampling: {}, position: 0 })
      const drafts = [best, prompt[0] ?? 0, best, output[0] ?? 1].slice(0, k)
      return {
        sampling: { ...wish, prompt, output },
        drafts,
        logits: Array.from({ length: k + 1 }, (_, row) => (row % 2 ? logits.toReversed() : logits)),
        position: 3 * salt,
      }
    }),
  )
}

/** The rows of requests as the reference takes them. */
function sampledRows(requests: readonly VerifiedRequest[]) {
  return requests.flatMap(({ sampling, drafts, logits, position }) =>
    logits.map((each, j) => ({ logits: each, sampling, position: position + j, drafts: drafts.slice(0, j) })),
  )
}

describe.each([7, 300, 512, 4099])('vocabulary of %i', (vocabSize) => {
  const rows = Object.values(validRows(vocabSize, vocabSize + 3))
  const requests = requestsOf(vocabSize > 512 ? rows.slice(0, 4) : rows, vocabSize)

  test('every logit is adjusted as it should be, the digests are those of the raw ones, and counts go on', async () => {
    const step = await verifySampled(requests, 'serial')
    sampledRows(requests).forEach((row, i) => {
      const actual = step.logits.subarray(i * vocabSize, (i + 1) * vocabSize)
      const expected = adjustedRow(row).logits
      expectAllClose(
        actual.map((x) => (x === -Infinity ? -3.4e38 : x)),
        expected.map((x) => (x === -Infinity ? -3.4e38 : x)),
        { absolute: 1e-6, relative: 5e-7, what: `row ${i}` },
      )
      expect(digestHex(step.digests[2 * i] ?? 0, step.digests[2 * i + 1] ?? 0)).toBe(rowDigest(row.logits))
    })
    requests.forEach(({ sampling, drafts }, i) => {
      const { accepted, tokens, error } = step.outcomes[i] ?? { accepted: -1, tokens: [], error: true }
      expect(error).toBe(false)
      expect(tokens).toHaveLength(accepted + 1)
      expect(tokens.slice(0, accepted)).toEqual(drafts.slice(0, accepted))
      const {
        prompt = [],
        output = [],
        logitBias = [],
        repetitionPenalty,
        presencePenalty,
        frequencyPenalty,
      } = sampling
      if (!(repetitionPenalty || presencePenalty || frequencyPenalty || logitBias.length > 0)) return
      const words = new Uint32Array(vocabSize + 300)
      const history = { tokens: [...prompt, ...output, ...tokens], promptLength: prompt.length, logitBias }
      packAdjustments(words, vocabSize, history)
      expect(step.adjustments[i], `request ${i}`).toEqual(words)
    })
  })

  test('the choice is that of the adjusted logits', async () => {
    const step = await verifySampled(requests, 'serial')
    let exact = 0
    let compared = 0
    let first = 0
    requests.forEach((request, i) => {
      const all = sampledRows([request])
      step.outcomes[i]?.tokens.forEach((token, j) => {
        const row = all[j]
        if (!row) throw new Error(`request ${i} has no row ${j}`)
        // From the logits that the device computed: f32 may order two that nearly tie another way.
        const logits = step.logits.slice((first + j) * vocabSize, (first + j + 1) * vocabSize)
        const adjusted = { ...row, logits }
        const best = hostToken(adjusted)
        if (token === best) exact++
        compared++
        const [chosen, largest] = [hostScore(adjusted, token), hostScore(adjusted, best)]
        expect(chosen, `request ${i}, row ${j}`).toBeGreaterThanOrEqual(largest - 2e-4 - 1e-6 * Math.abs(largest))
      })
      first += request.logits.length
    })
    expect(exact / compared).toBeGreaterThan(0.9)
  })
})

test('a draft counts on its own row as it will once it is output', async () => {
  const vocabSize = 61
  const together: VerifiedRequest[] = []
  const apart: VerifiedRequest[] = []
  const random = seededRandom(5)
  for (let i = 0; i < 40; i++) {
    const base = normalLogits(vocabSize, 2, i)
    const sampling: TestSampling = {
      temperature: i % 3 === 0 ? 0 : 0.9,
      repetitionPenalty: 1 + random(),
      presencePenalty: 2 * random() - 1,
      frequencyPenalty: random(),
      prompt: [...randomInts(i, 9, vocabSize)],
      output: [...randomInts(i + 99, i % 4, vocabSize)],
      seed: i,
    }
    // What will be sampled, and now and then something else.
    const drafts: number[] = []
    while (drafts.length < 4) {
      const row = adjustedRow({ logits: base, sampling, position: 10 + drafts.length, drafts })
      drafts.push(random() < 0.8 ? hostToken(row) : 0)
    }
    const logits = Array.from({ length: 5 }, () => base)
    together.push({ sampling, drafts, logits, position: 10 })
    for (let j = 0; j <= 4; j++) {
      const output = [...(sampling.output ?? []), ...drafts.slice(0, j)]
      apart.push({ sampling: { ...sampling, output }, drafts: [], logits: [base], position: 10 + j })
    }
  }
  const a = await verifySampled(together)
  const b = await verifySampled(apart)
  expect(a.logits).toEqual(b.logits)
  expect(a.digests).toEqual(b.digests)
  together.forEach(({ drafts }, i) => {
    const tokens = drafts.concat(-1).map((_, j) => b.outcomes[5 * i + j]?.tokens[0] ?? -1)
    const accepted = drafts.findIndex((draft, j) => draft !== tokens[j])
    expect(a.outcomes[i]?.accepted).toBe(accepted < 0 ? 4 : accepted)
    expect(a.outcomes[i]?.tokens).toEqual(tokens.slice(0, (accepted < 0 ? 4 : accepted) + 1))
  })
  expect(a.outcomes.filter(({ accepted }) => accepted > 1).length).toBeGreaterThan(20)
})

test('a row with an invalid logit ends its request whatever adjusts it, and leaves its counts alone', async () => {
  const vocabSize = 300
  const requests = requestsOf(Object.values(invalidRows(vocabSize, 3)), vocabSize)
  const { outcomes, adjustments } = await verifySampled(requests)
  expect(requests.every(({ logits }) => logits.every(isInvalidRow))).toBe(true)
  for (const outcome of outcomes) expect(outcome).toEqual({ accepted: 0, tokens: [], error: true })
  requests.forEach(({ sampling }, i) => {
    if (!sampling.repetitionPenalty) return
    const { prompt = [], output = [], logitBias = [] } = sampling
    const words = new Uint32Array(vocabSize + 300)
    packAdjustments(words, vocabSize, { tokens: [...prompt, ...output], promptLength: prompt.length, logitBias })
    expect(adjustments[i]).toEqual(words)
  })
})
