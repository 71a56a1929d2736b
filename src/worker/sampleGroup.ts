/**
 * The parallel samples of one prompt: separate requests to the engine, one generation to the caller (vLLM: ParentRequest). It
 * must never know the engine.
 */

import { speculationUsage, summedCounts } from '../metrics/speculationUsage.ts'
import type { Usage } from '../protocol/request.ts'
import type { GenerationEnd } from '../protocol/service.ts'
import { at } from '../util/math.ts'
import type { RequestText } from './requestText.ts'

export interface Sample {
  /** the caller's id of the generation */
  readonly id: number
  /** index among the generation's samples, part of the noise key */
  readonly index: number
  /** id of the engine's request */
  readonly engineId: number
  /** undefined: the model has no tokenizer */
  readonly text: RequestText | undefined
}

export class SampleGroup {
  readonly seed: number
  /** ordered by `index` */
  readonly samples: readonly Sample[]
  readonly #usages: Usage[] = []
  #ended = 0

  constructor(seed: number, samples: readonly Sample[]) {
    this.seed = seed
    this.samples = samples
  }

  /** Counts a finished sample. @returns the end of the generation, with the last sample */
  end(sample: Sample, usage: Usage): GenerationEnd | undefined {
    this.#usages[sample.index] = usage
    this.#ended += 1
    return this.#ended < this.samples.length ? undefined : { seed: this.seed, usage: totalUsage(this.#usages) }
  }
}

/** The samples' usage added up; the shared prompt is counted once. */
function totalUsage(usages: readonly Usage[]): Usage {
  const { prompt_tokens, prompt_tokens_details } = at(usages, 0)
  const sum = (count: (usage: Usage) => number) => usages.reduce((total, usage) => total + count(usage), 0)
  const completion_tokens = sum((usage) => usage.completion_tokens)
  const speculations = usages.flatMap(({ speculation }) => speculation ?? [])
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details,
    completion_tokens_details: {
      accepted_prediction_tokens: sum((usage) => usage.completion_tokens_details.accepted_prediction_tokens),
      rejected_prediction_tokens: sum((usage) => usage.completion_tokens_details.rejected_prediction_tokens),
    },
    ...(speculations.length > 0 && { speculation: speculationUsage(summedCounts(speculations), completion_tokens) }),
  }
}
