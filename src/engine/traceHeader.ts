/** The first line of a trace, read: which version wrote it, and for which engine. */

import { checkSchedulerLimits } from '../core/limits.ts'
import { type EngineOptions, SCHEDULING_POLICIES, type SpeculativeOptions } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import { BUDGET_POLICIES } from '../protocol/stepRecord.ts'
import { finite, flag, integer, malformed, oneOf, onlyKeys, parseJson, record } from './traceFields.ts'
import { TRACE_VERSION } from './traceLines.ts'

/** Tables of a replay are as large as these options say: what no device holds is no engine's trace. */
const MAX_KV_CACHE_TOKENS = 2 ** 24
const MAX_SEQS = 2 ** 16

export interface TraceHeader {
  readonly options: EngineOptions
  /** ids are below it */
  readonly vocabSize: number
}

/** @throws TRACE_FORMAT */
export function readHeader(line: string): TraceHeader {
  const value = parseJson(line)
  if (typeof value !== 'object' || value === null || !('weirTrace' in value))
    return malformed('this is not a trace of weir')
  if (value.weirTrace !== TRACE_VERSION) {
    const version = JSON.stringify(value.weirTrace)
    return malformed(`the trace has format version ${version}, and this is version ${TRACE_VERSION}`)
  }
  const header = record(value, 'the header')
  onlyKeys(header, 'the header', ['weirTrace', 'vocabSize', 'options'])
  const vocabSize = integer(header.get('vocabSize'), 'vocabSize', 1, 2 ** 31)
  return { options: readOptions(header.get('options')), vocabSize }
}

function readOptions(value: unknown): EngineOptions {
  const given = record(value, 'options')
  const number = (name: keyof EngineOptions): number => finite(given.get(name), name)
  const options: EngineOptions = {
    backend: oneOf(given.get('backend'), 'backend', ['auto', 'webgpu', 'wasm']),
    maxNumBatchedTokens: number('maxNumBatchedTokens'),
    maxNumSeqs: number('maxNumSeqs'),
    maxModelLen: number('maxModelLen'),
    kvCacheTokens: number('kvCacheTokens'),
    speculative: readSpeculative(given.get('speculative')),
    budgetPolicy: oneOf(given.get('budgetPolicy'), 'budgetPolicy', BUDGET_POLICIES),
    quantization: oneOf(given.get('quantization'), 'quantization', ['none']),
    kvCacheDtype: oneOf(given.get('kvCacheDtype'), 'kvCacheDtype', ['f16', 'f32']),
    enablePrefixCaching: flag(given.get('enablePrefixCaching'), 'enablePrefixCaching'),
    longPrefillTokenThreshold: number('longPrefillTokenThreshold'),
    maxNumPartialPrefills: number('maxNumPartialPrefills'),
    schedulingPolicy: oneOf(given.get('schedulingPolicy'), 'schedulingPolicy', SCHEDULING_POLICIES),
    priorityAgingTokens: number('priorityAgingTokens'),
    watermark: number('watermark'),
    penalties: flag(given.get('penalties'), 'penalties'),
    debug: readDebug(given.get('debug')),
  }
  onlyKeys(given, 'options', Object.keys(options))
  integer(options.kvCacheTokens, 'kvCacheTokens', 1, MAX_KV_CACHE_TOKENS)
  integer(options.maxNumSeqs, 'maxNumSeqs', 1, MAX_SEQS)
  try {
    checkSchedulerLimits(options)
  } catch (thrown) {
    malformed(`its options are not valid: ${WeirError.from(thrown).message}`)
  }
  return options
}

function readSpeculative(value: unknown): SpeculativeOptions | undefined {
  if (value === undefined) return undefined
  const given = record(value, 'speculative')
  onlyKeys(given, 'speculative', ['method', 'numSpeculativeTokens'])
  return {
    method: oneOf(given.get('method'), 'speculative.method', ['mtp']),
    numSpeculativeTokens: finite(given.get('numSpeculativeTokens'), 'speculative.numSpeculativeTokens'),
  }
}

function readDebug(value: unknown): EngineOptions['debug'] {
  const given = record(value, 'debug')
  onlyKeys(given, 'debug', ['logits', 'steps', 'trace'])
  return {
    logits: oneOf(given.get('logits'), 'debug.logits', ['off', 'digest', 'full']),
    steps: flag(given.get('steps'), 'debug.steps'),
    trace: flag(given.get('trace'), 'debug.trace'),
  }
}
