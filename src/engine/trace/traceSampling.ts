/** A request's sampling parameters in a trace: values in a fixed order, without their names, written and read. */

import type { SamplingParams } from '../../core/samplingParams.ts'
import { finite, malformed, tuple } from './traceFields.ts'

/** [temperature, topK, topP, seed, sampleIndex, minP, repetition, presence and frequency penalty, [[id, bias], …]] */
export function samplingValues(sampling: SamplingParams): unknown[] {
  const { temperature, topK, topP, seed, sampleIndex, minP } = sampling
  const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling
  const penalties = [repetitionPenalty, presencePenalty, frequencyPenalty]
  return [temperature, topK, topP, seed, sampleIndex, minP, ...penalties, logitBias]
}

/** @throws TRACE_FORMAT */
export function readSampling(value: unknown): SamplingParams {
  const values = tuple(value, 'sampling', 10)
  const [temperature, topK, topP, seed, sampleIndex, minP, repetition, presence, frequency, biases] = values
  return {
    temperature: finite(temperature, 'temperature'),
    topK: finite(topK, 'topK'),
    topP: finite(topP, 'topP'),
    seed: finite(seed, 'seed'),
    sampleIndex: finite(sampleIndex, 'sampleIndex'),
    minP: finite(minP, 'minP'),
    repetitionPenalty: finite(repetition, 'repetitionPenalty'),
    presencePenalty: finite(presence, 'presencePenalty'),
    frequencyPenalty: finite(frequency, 'frequencyPenalty'),
    logitBias: readBiases(biases),
  }
}

function readBiases(value: unknown): SamplingParams['logitBias'] {
  if (!Array.isArray(value)) return malformed('logitBias must be an array')
  return value.map((entry) => {
    const [id, bias] = tuple(entry, 'an entry of logitBias', 2)
    return [finite(id, 'its id'), finite(bias, 'its bias')] as const
  })
}
