/** Parses the readback of a step into `RequestOutput`s. */

import type { PlannedRequest, RequestOutput, StepOutput, StepPlan } from '../core/stepPlan.ts'
import type { ReadbackSource } from '../gpu/readback.ts'
import { passTimes } from '../gpu/timing.ts'
import { digestHex } from '../util/digestHex.ts'
import { assert } from '../util/math.ts'
import { RESULT_WORDS } from './packPlan.ts'

export type LogitsDebug = 'off' | 'digest' | 'full'

/** Word offsets in a `StepResult` (shaders/lib/stepRequest.wgsl). */
const TOKENS = 4
const VERIFIED = 9
const PROPOSED = 13
const STEP = 17

/** Bytes of the readback for `requests` requests and `sampled` sampled rows: results, then digests or logits. */
export function answerBytes(requests: number, sampled: number, vocabSize: number, logits: LogitsDebug): number {
  const perRow = logits === 'digest' ? 8 : logits === 'full' ? vocabSize * 4 : 0
  return requests * RESULT_WORDS * 4 + sampled * perRow
}

/** The buffers copied into the readback of a step, in order. */
export function answerSources(
  buffer: (name: string) => GPUBuffer,
  requests: number,
  sampled: number,
  vocabSize: number,
  logits: LogitsDebug,
): ReadbackSource[] {
  const results = { buffer: buffer('results'), bytes: requests * RESULT_WORDS * 4 }
  if (logits === 'digest') return [results, { buffer: buffer('digests'), bytes: sampled * 8 }]
  if (logits === 'full') return [results, { buffer: buffer('rawLogits'), bytes: sampled * vocabSize * 4 }]
  return [results]
}

/**
 * Parses a readback; copies what it keeps.
 * @throws INTERNAL when it belongs to an earlier step, whose results are still in the buffer because the device dropped
 * this one
 */
export function parseAnswer(
  bytes: ArrayBuffer,
  plan: StepPlan,
  vocabSize: number,
  logits: LogitsDebug,
): RequestOutput[] {
  const words = new Uint32Array(bytes)
  const rowsStart = plan.requests.length * RESULT_WORDS
  let firstSampled = 0
  return plan.requests.map((request, index) => {
    const result = words.subarray(index * RESULT_WORDS, (index + 1) * RESULT_WORDS)
    assert(result[STEP] === plan.step, `the device answers step ${plan.step}, not ${result[STEP]}`)
    const output = parseResult(result, request)
    const first = firstSampled
    if (request.samples) firstSampled += request.k + 1
    if (logits === 'off' || output.tokens.length === 0) return output
    const rows = output.tokens.map((_, j) =>
      logits === 'digest'
        ? digestHex(words[rowsStart + 2 * (first + j)] ?? 0, words[rowsStart + 2 * (first + j) + 1] ?? 0)
        : new Float32Array(bytes, 4 * (rowsStart + (first + j) * vocabSize), vocabSize).slice(),
    )
    return { ...output, logits: rows }
  })
}

/** Milliseconds of the target's pass and of the drafter's, if it ran; {} where the timestamps are missing or invalid. */
export function gpuTimes(marks: Uint32Array): Pick<StepOutput['ms'], 'gpu' | 'draft'> {
  const times = passTimes(marks)
  if (!times) return {}
  const [target = 0, draft = 0] = times
  return { gpu: (target + draft) / 1e6, draft: draft / 1e6 }
}

function parseResult(words: Uint32Array, request: PlannedRequest): RequestOutput {
  const numericError = words[3] === 1
  const output = {
    requestId: request.requestId,
    generation: words[0] ?? 0,
    accepted: words[1] ?? 0,
    tokens: [...words.subarray(TOKENS, TOKENS + (words[2] ?? 0))],
    verified: [...words.subarray(VERIFIED, VERIFIED + request.k)],
    proposed: [...words.subarray(PROPOSED, PROPOSED + request.m)],
  }
  return numericError ? { ...output, numericError } : output
}
