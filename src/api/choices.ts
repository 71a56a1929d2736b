/** The samples of an answer, put together from what each step brought to each. It must never know who waits for them. */

import type { GenerationChoice } from '../protocol/request.ts'
import type { SampleUpdate } from '../protocol/service.ts'
import { assert } from '../util/math.ts'

/** @param updates in order, up to the end of every sample */
export function choicesOf(updates: readonly SampleUpdate[]): GenerationChoice[] {
  const samples: SampleUpdate[][] = []
  for (const update of updates) {
    const sample = samples[update.index] ?? []
    sample.push(update)
    samples[update.index] = sample
  }
  return samples.map(choiceOf)
}

function choiceOf(updates: readonly SampleUpdate[], index: number): GenerationChoice {
  const { finish_reason, debug } = updates.at(-1) ?? {}
  assert(finish_reason, `sample ${index} has ended`)
  return {
    index,
    text: updates.map(({ text }) => text).join(''),
    token_ids: updates.flatMap(({ token_ids }) => token_ids),
    finish_reason,
    ...(debug && { debug }),
  }
}
