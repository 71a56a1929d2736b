/** What every runtime is asked to do, with prompts that differ in every run, so that no cache of prompts applies. */

import { BlastRandom } from '../../helpers/blastRandom.ts'
import type { Prompt } from './page/driver.ts'
import type { Vocabulary } from './vocabulary.ts'

export interface Workload {
  readonly name: string
  readonly streams: number
  /** tokens */
  readonly prompt: number
  /** tokens of each answer */
  readonly answer: number
  /** the same for a runtime that takes seconds for a few tokens; undefined: it is spared this workload */
  readonly slowAnswer?: number
  /** what the figure counts per second */
  readonly counts: 'output tokens' | 'prompt tokens'
}

export const WORKLOADS: readonly Workload[] = [
  { name: '1 stream, short', streams: 1, prompt: 16, answer: 64, slowAnswer: 8, counts: 'output tokens' },
  { name: '8 streams, short', streams: 8, prompt: 16, answer: 64, slowAnswer: 8, counts: 'output tokens' },
  { name: '1 stream, contexts of 200', streams: 1, prompt: 16, answer: 368, counts: 'output tokens' },
  { name: '8 streams, contexts of 200', streams: 8, prompt: 16, answer: 368, counts: 'output tokens' },
  { name: 'prompt of 512', streams: 1, prompt: 512, answer: 1, slowAnswer: 1, counts: 'prompt tokens' },
]

/** Tokens that the figure counts in one run. */
export function counted({ streams, prompt, counts }: Workload, answer: number): number {
  return streams * (counts === 'prompt tokens' ? prompt : answer)
}

/** Random words. @returns [streams], equal for every runtime of a round */
export function prompts({ streams, prompt }: Workload, vocabulary: Vocabulary, seed: number): Prompt[] {
  const random = new BlastRandom(seed)
  return Array.from({ length: streams }, () => {
    const made = vocabulary.promptOf(Array.from({ length: prompt }, () => random.pick(vocabulary.wordIds)))
    if (!made) throw new Error('a prompt of words has other ids than its words')
    return made
  })
}
