/**
 * The parallel samples of one prompt: to the engine each is a request of its own, to the caller they are one generation. It must
 * never know the engine.
 */

import { speculationUsage, summedCounts } from '../metrics/speculationUsage.ts'
import type { Usage } from '../protocol/request.ts'
import type { GenerationEnd } from '../protocol/service.ts'
import { at } from '../util/math.ts'
import type { RequestText } from './requestText.ts'

export interface Sample {
  /** of the generation, as the caller chose it */
  readonly id: number
  /** part of the seed's key */
  readonly index: number
  /** of the engine's request */
  readonly engineId: number
  /** undefined: the model has no tokenizer */
  readonly text: RequestText | undefined
}

export class SampleGroup {
  readonly seed: number
  /** by index */
  readonly samples: readonly Sample[]
  readonly #usages: Usage[] = []
  #ended = 0

  constructor(seed: number, samples: readonly Sample[]) {
    this.seed = seed
    this.samples = samples
  }

  /** Counts a sample that came to its end. @returns what holds for all of them, with the last one */
  end(sample: Sample, usage: Usage): GenerationEnd | undefined {
    this.#usages[sample.index] = usage
    this.#ended += 1
    return this.#ended < this.samples.length ? undefined : { seed: this.seed, usage: totalUsage(this.#usages) }
  }
}

/** One prompt, however many samples: they share it. */
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
