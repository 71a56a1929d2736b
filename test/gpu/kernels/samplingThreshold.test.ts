import { describe, expect, test } from 'vitest'
import { hostThreshold } from '../../helpers/hostSampling.ts'
import { probabilities } from '../../helpers/plainSampling.ts'
import type { SampledRow, TestSampling } from '../../helpers/sampledRow.ts'
import { runThresholds, samplingBuffers } from '../../helpers/samplingKernels.ts'
import { invalidRows, normalLogits, validRows } from '../../helpers/samplingRows.ts'

const CUTS: readonly TestSampling[] = [
  { temperature: 1, topK: 5 },
  { temperature: 0.8, topK: 3, topP: 0.95 },
  { temperature: 1, topP: 0.5 },
  { temperature: 1.7, topP: 0.999 },
  { temperature: 0.05, topP: 0.9 },
  { temperature: 1, topK: 1 },
  { temperature: 1, minP: 0.1 },
  { temperature: 0.7, minP: 1 },
  { temperature: 1.2, minP: 0.02, topP: 0.8 },
  { temperature: 1, minP: 1e-6, topK: 4, topP: 0.9 },
  { temperature: 1, topP: 1e-9 },
  { temperature: 2, topK: 6, topP: 1 - 2 ** -24 },
]

const scratch = new DataView(new ArrayBuffer(4))

/** The order-preserving key of a logit that is not NaN; -0 and +0 share one. */
function logitKey(logit: number): number {
  scratch.setFloat32(0, logit)
  const bits = scratch.getUint32(0)
  return (bits >= 0x80000000 ? -bits : bits | 0x80000000) >>> 0
}

/** The logit of a key. */
function keyLogit(key: number): number {
  scratch.setUint32(0, key >= 0x80000000 ? key - 0x80000000 : -key >>> 0)
  return scratch.getFloat32(0)
}

/** The laws of a threshold, where rounding may move the border by `slack` of probability. */
function expectKept({ logits, sampling }: SampledRow, key: number, name: string) {
  const kept = hostThreshold(logits, { ...sampling, topP: 1 })
  const topP = Math.fround(sampling.topP ?? 1)
  if (topP >= 1) {
    // A difference of subnormals may be flushed to 0.
    if (sampling.minP) expect(Math.abs(keyLogit(key) - kept), name).toBeLessThan(2 ** -126)
    else expect(key, name).toBe(logitKey(kept))
    return
  }
  const finite = logits.filter((x) => x >= kept && x > -Infinity)
  expect(Array.from(finite, logitKey), name).toContain(key)
  const p = probabilities(logits, Math.fround(sampling.temperature ?? 0), kept)
  let [above, reached] = [0, 0]
  logits.forEach((x, id) => {
    if (logitKey(x) > key) above += p[id] ?? 0
    if (logitKey(x) >= key) reached += p[id] ?? 0
  })
  // Masses are cut at 2^-24 of the largest, and exp is good to a few units in its last place.
  const slack = 1e-5 + finite.length * 2 ** -24
  expect(above, `${name}: above the threshold`).toBeLessThan(topP + slack)
  expect(reached, `${name}: down to the threshold`).toBeGreaterThanOrEqual(topP - slack)
}

describe.each([7, 512, 4096, 4099])('vocabulary of %i', (vocabSize) => {
  test('min-p, top-k and top-p keep what they should, in both variants alike', async () => {
    const rows = Object.entries(validRows(vocabSize, vocabSize)).flatMap(([name, logits]) =>
      CUTS.map((sampling) => ({ name: `${name} ${JSON.stringify(sampling)}`, logits, sampling, position: 0 })),
    )
    const thresholds = await runThresholds(samplingBuffers(rows))
    rows.forEach((row, i) => {
      expectKept(row, thresholds[i] ?? 0, row.name)
    })
  })

  test('what cuts nothing gives 0', async () => {
    const none: TestSampling[] = [
      { temperature: 0, topK: 3, topP: 0.5 },
      { temperature: 1 },
      { temperature: 1, topK: vocabSize },
      { temperature: 1, topK: 0xffffffff, topP: 1 },
    ]
    const logits = normalLogits(vocabSize, 3, 5)
    const rows = none.map((sampling) => ({ logits, sampling, position: 0 }))
    expect([...(await runThresholds(samplingBuffers(rows)))]).toEqual([0, 0, 0, 0])
  })
})

test('a row with an invalid logit ends, the same in both variants, and leaves its neighbours alone', async () => {
  const rows = [...Object.values(invalidRows(512, 3)), normalLogits(512, 3, 4)].flatMap((logits) =>
    CUTS.map((sampling) => ({ logits, sampling, position: 0 })),
  )
  const thresholds = await runThresholds(samplingBuffers(rows))
  rows.slice(-CUTS.length).forEach((row, i) => {
    expectKept(row, thresholds[rows.length - CUTS.length + i] ?? 0, `neighbour ${i}`)
  })
})

test('a vocabulary of 151936', async () => {
  const samplings: TestSampling[] = [
    { temperature: 1, topP: 0.9 },
    { temperature: 0.8, topK: 50, topP: 0.95 },
    { temperature: 1.5, topK: 100_000, topP: 0.99 },
  ]
  const rows = samplings.map((sampling, i) => ({ logits: normalLogits(151936, 2, i), sampling, position: 0 }))
  const thresholds = await runThresholds(samplingBuffers(rows))
  rows.forEach((row, i) => {
    expectKept(row, thresholds[i] ?? 0, JSON.stringify(row.sampling))
  })
})
