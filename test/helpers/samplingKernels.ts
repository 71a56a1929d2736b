/** Runs the sampling kernels on rows of logits, each with a table row of its own or a shared one. */

import { chunkWords, sampleChunks } from '../../src/kernels/sampleChunks.ts'
import { sampleSelect } from '../../src/kernels/sampleSelect.ts'
import { sampleThreshold } from '../../src/kernels/sampleThreshold.ts'
import { sampleThresholdSerial } from '../../src/kernels/sampleThresholdSerial.ts'
import { TABLE_ROW_WORDS, tableRowWords } from '../../src/runner/packPlan.ts'
import { expectPoison, runKernel, runVariants, type Words, type Written } from './kernelHarness.ts'
import { type SampledRow, samplingParams, type TestSampling } from './sampledRow.ts'

type Buffers = Record<string, Words>

/** Rows as the kernels' buffers. Requests that are one object share a table row; table rows are in reverse order of appearance. */
export function samplingBuffers(rows: readonly SampledRow[]): Buffers {
  const vocabSize = rows[0]?.logits.length ?? 0
  const requests: TestSampling[] = [...new Set(rows.map(({ sampling }) => sampling))].reverse()
  const index = new Map(requests.map((sampling, i) => [sampling, i]))
  const logits = new Float32Array(rows.length * vocabSize)
  const table = new Uint32Array(requests.length * TABLE_ROW_WORDS)
  rows.forEach((row, i) => {
    logits.set(row.logits, i * vocabSize)
  })
  requests.forEach((sampling, i) => {
    table.set(samplingWords(sampling), i * TABLE_ROW_WORDS)
  })
  const sampledTable = Uint32Array.from(rows, ({ sampling }) => index.get(sampling) ?? 0)
  return { logits, table, sampledTable, sampledPositions: Uint32Array.from(rows, ({ position }) => position) }
}

/** The words of the request table for a request of which nothing but its sampling matters. */
export function samplingWords(sampling: TestSampling): Uint32Array {
  const params = samplingParams(sampling)
  const nothing = {
    tableRow: 0,
    generation: 0,
    computed: 0,
    lastPosition: 0,
    firstOutputPosition: 0,
    history: undefined,
  }
  return tableRowWords({ ...nothing, sampling: params })
}

/** Threshold keys [rows], of both variants, which must agree bit for bit. Nothing is written past the rows. */
export async function runThresholds(buffers: Buffers): Promise<Uint32Array> {
  const { rows, shape } = sizes(buffers)
  const run = { shape, gridRows: rows + 5, pass: { rows }, buffers: { ...buffers, thresholds: rows + 5 } }
  const { thresholds } = await runVariants([sampleThreshold, sampleThresholdSerial], run)
  return take(thresholds, rows, 1)
}

export interface Sampled {
  /** NO_TOKEN is -1 */
  readonly tokens: Int32Array // [rows]
  readonly digests: Uint32Array // [rows][2]
}

interface ChoiceMode {
  readonly greedy?: boolean
  readonly digest?: boolean
  /** the ids of the columns, where these are part of a vocabulary */
  readonly tokenIds?: Uint32Array
}

/** Chooses from rows whose thresholds are known. */
export async function runChoice(
  buffers: Buffers,
  thresholds: Uint32Array,
  { greedy = false, digest = true, tokenIds }: ChoiceMode = {},
): Promise<Sampled> {
  const { rows, shape } = sizes(buffers)
  const words = rows * chunkWords(shape.vocabSize)
  const { chunks } = await runKernel({
    variant: sampleChunks,
    shape: { ...shape, greedy, digest },
    pass: { rows },
    buffers: { ...buffers, thresholds, chunks: words },
  })
  const { tokens, digests } = await runKernel({
    variant: sampleSelect,
    shape: { ...shape, subset: tokenIds !== undefined, digest },
    pass: { rows },
    buffers: {
      tokenIds: tokenIds ?? new Uint32Array(4),
      chunks: take(chunks, words, 0),
      tokens: rows + 5,
      digests: 2 * rows + 2,
    },
  })
  if (!digest) expectPoison(digests, 0)
  return { tokens: Int32Array.from(take(tokens, rows, 1)), digests: take(digests, 2 * rows, 1) }
}

/** The whole of it: thresholds by one variant (serial), then the choice. */
export async function sample(rows: readonly SampledRow[]): Promise<Sampled> {
  const buffers = samplingBuffers(rows)
  const { thresholds } = await runKernel({
    variant: sampleThresholdSerial,
    shape: sizes(buffers).shape,
    pass: { rows: rows.length },
    buffers: { ...buffers, thresholds: rows.length },
  })
  return runChoice(buffers, take(thresholds, rows.length, 0))
}

function sizes(buffers: Buffers): { rows: number; shape: { vocabSize: number } } {
  const rows = buffers.sampledTable?.length ?? 0
  return { rows, shape: { vocabSize: (buffers.logits?.length ?? 0) / rows } }
}

/** The first words of an output; with `guard`, what follows them must be untouched. */
function take(written: Written | undefined, words: number, guard: 0 | 1): Uint32Array {
  if (guard) expectPoison(written, words)
  return written?.u32.slice(0, words) ?? new Uint32Array()
}
