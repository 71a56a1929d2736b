/**
 * Runs the sampling and verify kernels as a step does, on made-up logits: bias and penalties, thresholds, choice, verification.
 * Buffers that a kernel may leave alone are poisoned. It must never know the reference.
 */

import { adjustsLogits } from '../../src/core/samplingParams.ts'
import { adjustLogits, adjustmentWords, packAdjustments } from '../../src/kernels/adjustLogits.ts'
import { chunkWords, sampleChunks } from '../../src/kernels/sampleChunks.ts'
import { sampleSelect } from '../../src/kernels/sampleSelect.ts'
import { sampleThreshold } from '../../src/kernels/sampleThreshold.ts'
import { sampleThresholdSerial } from '../../src/kernels/sampleThresholdSerial.ts'
import { verifyStep } from '../../src/kernels/verifyStep.ts'
import { REQUEST_WORDS, RESULT_WORDS, TABLE_ROW_WORDS } from '../../src/runner/packPlan.ts'
import { at } from '../../src/util/math.ts'
import { expectPoison, POISON, runKernel, runVariants } from './kernelHarness.ts'
import { samplingParams, type TestSampling } from './sampledRow.ts'
import { samplingWords } from './samplingKernels.ts'

/** A decoding request of a step. */
export interface VerifiedRequest {
  /** an object of its own */
  readonly sampling: TestSampling
  /** k of them */
  readonly drafts: readonly number[]
  /** of its base row and of each draft's row: [k + 1][vocab] */
  readonly logits: readonly Float32Array[]
  /** of the first token that is sampled */
  readonly position: number
}

export interface VerifiedStep {
  /** as the choice saw them, [rows][vocab] */
  readonly logits: Float32Array
  /** of the raw logits, [rows] (low, high) */
  readonly digests: Uint32Array
  /** in the order of the requests */
  readonly outcomes: readonly {
    readonly accepted: number
    readonly tokens: readonly number[]
    readonly error: boolean
  }[]
  /** the rows of `adjustments` after the step, in the order of the requests */
  readonly adjustments: readonly Uint32Array[]
}

const SAMPLES = 1
/** The base row of each request comes after as many rows that are not sampled. */
const GAP = 2

export async function verifySampled(
  requests: readonly VerifiedRequest[],
  variants: 'both' | 'serial' = 'both',
): Promise<VerifiedStep> {
  const vocabSize = requests[0]?.logits[0]?.length ?? 0
  const { rows, buffers } = stepBuffers(requests, vocabSize)
  const pass = { rows }
  const words = rows * chunkWords(vocabSize)
  const digest = true
  const adjusted = await runKernel({
    variant: adjustLogits,
    shape: { vocabSize, digest },
    gridRows: rows + 3,
    pass,
    buffers: { ...buffers, chunks: words + 4 },
  })
  expectPoison(adjusted.logits, rows * vocabSize)
  expectPoison(adjusted.chunks, words)
  const logits = adjusted.logits?.u32 ?? new Uint32Array()
  const { thresholds } = await runVariants(
    variants === 'both' ? [sampleThreshold, sampleThresholdSerial] : [sampleThresholdSerial],
    { shape: { vocabSize }, pass, buffers: { ...buffers, logits, thresholds: rows } },
  )
  const { chunks } = await runKernel({
    variant: sampleChunks,
    shape: { vocabSize, greedy: false, digest },
    pass,
    buffers: {
      ...buffers,
      logits,
      thresholds: thresholds?.u32 ?? 0,
      chunks: adjusted.chunks?.u32 ?? 0,
    },
  })
  const selected = await runKernel({
    variant: sampleSelect,
    shape: { vocabSize, subset: false, digest },
    pass,
    buffers: { tokenIds: new Uint32Array(4), chunks: chunks?.u32 ?? 0, tokens: rows, digests: 2 * rows },
  })
  const verified = await runKernel({
    variant: verifyStep,
    shape: { vocabSize },
    pass: { rows: requests.length },
    buffers: { ...buffers, tokens: selected.tokens?.u32 ?? 0, results: requests.length * RESULT_WORDS + 4 },
  })
  expectPoison(verified.results, requests.length * RESULT_WORDS)
  const results = verified.results?.u32 ?? new Uint32Array()
  const after = verified.adjustments?.u32 ?? new Uint32Array()
  return {
    logits: new Float32Array(logits.buffer, 0, rows * vocabSize),
    digests: selected.digests?.u32 ?? new Uint32Array(),
    outcomes: requests.map((_, i) => outcome(results.subarray(i * RESULT_WORDS, (i + 1) * RESULT_WORDS))),
    adjustments: requests.map((_, i) => tableSlice(after, requests.length - 1 - i, adjustmentWords(vocabSize))),
  }
}

function outcome(words: Uint32Array): VerifiedStep['outcomes'][number] {
  return {
    accepted: at(words, 1),
    tokens: [...words.subarray(4, 4 + at(words, 2))],
    error: at(words, 3) === 1,
  }
}

function tableSlice(words: Uint32Array, row: number, length: number): Uint32Array {
  return words.subarray(row * length, (row + 1) * length)
}

/** What the kernels read and change. Table rows are in reverse order of the requests. */
function stepBuffers(requests: readonly VerifiedRequest[], vocabSize: number) {
  const rows = requests.reduce((sum, { logits }) => sum + logits.length, 0)
  const all = rows + GAP * requests.length
  const length = adjustmentWords(vocabSize)
  const buffers = {
    requests: new Uint32Array(requests.length * REQUEST_WORDS),
    rowPlan: new Uint32Array(2 * all).fill(POISON),
    rowIndex: new Uint32Array(rows),
    ids: new Uint32Array(all).fill(POISON),
    sampledTable: new Uint32Array(rows),
    sampledPositions: new Uint32Array(rows),
    table: new Uint32Array(requests.length * TABLE_ROW_WORDS),
    adjustments: new Uint32Array(requests.length * length).fill(POISON),
    logits: new Float32Array((rows + 1) * vocabSize),
  }
  new Uint32Array(buffers.logits.buffer).fill(POISON)
  let [row, sampled] = [0, 0]
  requests.forEach(({ sampling, drafts, logits, position }, index) => {
    const tableRow = requests.length - 1 - index
    const [n, k] = [GAP + logits.length, drafts.length]
    buffers.requests.set([tableRow, 1, row, n, k, 0, SAMPLES, 0, sampled, 1], index * REQUEST_WORDS)
    buffers.table.set(samplingWords(sampling), tableRow * TABLE_ROW_WORDS)
    if (adjustsLogits(samplingParams(sampling))) {
      const { prompt = [], output = [], logitBias = [] } = sampling
      const history = { tokens: [...prompt, ...output], promptLength: prompt.length, logitBias }
      packAdjustments(buffers.adjustments.subarray(tableRow * length, (tableRow + 1) * length), vocabSize, history)
    }
    for (let offset = 0; offset < n; offset++) buffers.rowPlan[2 * (row + offset)] = index
    buffers.ids.set(drafts, row + GAP + 1)
    logits.forEach((each, j) => {
      buffers.rowIndex[sampled] = row + GAP + j
      buffers.sampledTable[sampled] = tableRow
      buffers.sampledPositions[sampled] = position + j
      buffers.logits.set(each, sampled * vocabSize)
      sampled++
    })
    row += n
  })
  return { rows, buffers }
}
