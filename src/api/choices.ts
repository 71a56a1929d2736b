/** The samples of an answer, assembled from the updates of each step. It must never know its consumers. */

import type { GenerationChoice, PartialResult } from '../protocol/request.ts'
import type { SampleUpdate } from '../protocol/service.ts'
import { at } from '../util/math.ts'

/** @param updates in order; at least one */
export function choicesOf(updates: readonly SampleUpdate[]): PartialResult {
  const samples: SampleUpdate[][] = []
  for (const update of updates) {
    const sample = samples[update.index] ?? []
    sample.push(update)
    samples[update.index] = sample
  }
  const choices = Array.from(samples, choiceOf)
  const { index: _, ...first } = at(choices, 0)
  return { ...first, choices }
}

/** One that has not ended, or not even begun, is one that was aborted. */
function choiceOf(updates: readonly SampleUpdate[] = [], index: number): GenerationChoice {
  const { finish_reason = 'abort', debug } = updates.at(-1) ?? {}
  return {
    index,
    text: updates.map(({ text }) => text).join(''),
    token_ids: updates.flatMap(({ token_ids }) => token_ids),
    finish_reason,
    ...(debug && { debug }),
  }
}
