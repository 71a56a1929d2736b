/** The first line of a trace, read: which version wrote it, and for which engine. */

import { checkSchedulerLimits } from '../../core/limits.ts'
import {
  type EngineOptions,
  SCHEDULING_POLICIES,
  SPECULATIVE_METHODS,
  type SpeculativeOptions,
} from '../../protocol/engineOptions.ts'
import { WeirError } from '../../protocol/errors.ts'
import { BUDGET_POLICIES } from '../../protocol/stepRecord.ts'
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

/**
 * What the first line of a trace says.
 * @throws TRACE_FORMAT
 */
export function readHeader(trace: string): TraceHeader {
  if (typeof trace !== 'string' || !trace.startsWith('{"weirTrace":')) return malformed('this is not a trace of weir')
  const [line = ''] = trace.split('\n', 1)
  const header = record(parseJson(line), 'the header')
  const version = header.get('weirTrace')
  if (version !== TRACE_VERSION) {
    const found = JSON.stringify(version)
    return malformed(`the trace has format version ${found}, this engine reads version ${TRACE_VERSION}`)
  }
  onlyKeys(header, 'the header', ['weirTrace', 'vocabSize', 'options'])
  const vocabSize = integer(header.get('vocabSize'), 'vocabSize', 1, 2 ** 31)
  return { options: readOptions(header.get('options')), vocabSize }
}

function readOptions(value: unknown): EngineOptions {
  const given = record(value, 'options')
  const number = (name: keyof EngineOptions): number => finite(given.get(name), name)
  const options: EngineOptions = {
    maxNumBatchedTokens: number('maxNumBatchedTokens'),
    maxNumSeqs: number('maxNumSeqs'),
    maxModelLen: number('maxModelLen'),
    kvCacheTokens: number('kvCacheTokens'),
    speculative: readSpeculative(given.get('speculative')),
    budgetPolicy: oneOf(given.get('budgetPolicy'), 'budgetPolicy', BUDGET_POLICIES),
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
  const method = oneOf(given.get('method'), 'speculative.method', SPECULATIVE_METHODS)
  const common = {
    numSpeculativeTokens: finite(given.get('numSpeculativeTokens'), 'speculative.numSpeculativeTokens'),
    adaptive: flag(given.get('adaptive'), 'speculative.adaptive'),
  }
  const keys = ['method', 'numSpeculativeTokens', 'adaptive']
  if (method === 'mtp') {
    onlyKeys(given, 'speculative', [...keys, 'draftVocabSize'])
    const size = given.get('draftVocabSize')
    const draftVocabSize = size === undefined ? undefined : finite(size, 'speculative.draftVocabSize')
    return { method, ...common, draftVocabSize }
  }
  onlyKeys(given, 'speculative', [...keys, 'promptLookupMin', 'promptLookupMax'])
  const promptLookupMin = finite(given.get('promptLookupMin'), 'speculative.promptLookupMin')
  const promptLookupMax = finite(given.get('promptLookupMax'), 'speculative.promptLookupMax')
  return { method, ...common, promptLookupMin, promptLookupMax }
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
