/** A request's sampling parameters in a trace: an object with those that do something, written and read. */

import { NUMBER_PARAMS, type NumberParamName, numberParams, type SamplingParams } from '../../core/samplingParams.ts'
import { finite, malformed, onlyKeys, record, tuple } from './traceFields.ts'

/** Names in a fixed order: equal parameters have equal text. */
export function samplingRecord(sampling: SamplingParams): Record<string, unknown> {
  const { seed, sampleIndex, logitBias } = sampling
  const numbers = Object.entries(NUMBER_PARAMS)
    .map(([name, { neutral }]) => ({ name, neutral, value: sampling[name as NumberParamName] }))
    .filter(({ value, neutral }) => value !== neutral)
  return {
    ...Object.fromEntries(numbers.map(({ name, value }) => [name, value])),
    seed,
    ...(sampleIndex > 0 && { sampleIndex }),
    ...(logitBias.length > 0 && { logitBias }),
  }
}

/** @throws TRACE_FORMAT */
export function readSampling(value: unknown): SamplingParams {
  const given = record(value, 'sampling')
  onlyKeys(given, 'sampling', [...Object.keys(NUMBER_PARAMS), 'seed', 'sampleIndex', 'logitBias'])
  const read = (name: string) => (given.has(name) ? finite(given.get(name), name) : undefined)
  return {
    ...numberParams(read),
    seed: finite(given.get('seed'), 'seed'),
    sampleIndex: read('sampleIndex') ?? 0,
    logitBias: given.has('logitBias') ? readBiases(given.get('logitBias')) : [],
  }
}

function readBiases(value: unknown): SamplingParams['logitBias'] {
  if (!Array.isArray(value)) return malformed('logitBias must be an array')
  return value.map((entry) => {
    const [id, bias] = tuple(entry, 'an entry of logitBias', 2)
    return [finite(id, 'its id'), finite(bias, 'its bias')] as const
  })
}
