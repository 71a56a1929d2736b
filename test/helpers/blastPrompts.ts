/**
 * Requests for a blast: prompts that begin alike, often up to a block's end and then with another token, prompts said before, and
 * later turns of conversations that have ended. Few different tokens, so that beginnings agree by chance as well.
 */

import { BLOCK_SIZE, maxTotalTokens } from '../../src/core/cost.ts'
import type { RequestSpec } from '../../src/core/request.ts'
import { BlastRandom } from './blastRandom.ts'
import type { BlastSetup } from './blastSetup.ts'
import { GREEDY } from './coreFixtures.ts'

export const BLAST_VOCAB = 40

const TEXTS = 2
const REMEMBERED = 6

/** Where a request ends before its limit: after so many output tokens. `text`: seen after they were committed, as stop strings are. */
export interface BlastStop {
  readonly after: number
  readonly text: boolean
}

export class BlastPrompts {
  readonly #setup: BlastSetup
  readonly #random: BlastRandom
  readonly #texts: readonly (readonly number[])[]
  /** token lists of requests that ended, the latest last */
  readonly #said: (readonly number[])[] = []

  constructor(setup: BlastSetup) {
    this.#setup = setup
    this.#random = new BlastRandom(setup.seed ^ 0x51ed270b)
    this.#texts = Array.from({ length: TEXTS }, () => this.#tokens(setup.options.maxModelLen))
  }

  spec(id: number): RequestSpec {
    const random = this.#random
    const { options } = this.#setup
    const promptTokenIds = this.#prompt()
    const maxTokens = random.pick([1, random.between(1, 8), random.between(1, 40), options.maxModelLen])
    return {
      id,
      promptTokenIds,
      maxTotal: maxTotalTokens(promptTokenIds.length, maxTokens, options),
      sampling: GREEDY,
      priority: random.between(-2, 3),
      cacheSalt: random.chance(1, 6) ? random.pick(['one', 'two']) : undefined,
    }
  }

  stop(): BlastStop | undefined {
    const random = this.#random
    return random.chance(1, 3) ? { after: random.between(1, 20), text: random.chance(1, 2) } : undefined
  }

  ended(tokens: readonly number[]): void {
    this.#said.push(tokens)
    if (this.#said.length > REMEMBERED) this.#said.shift()
  }

  #prompt(): number[] {
    const random = this.#random
    const most = this.#setup.longestPrompt
    const begin = random.chance(1, 4) && this.#said.length > 0 ? random.pick(this.#said) : random.pick(this.#texts)
    const blocks = random.int(Math.floor(most / BLOCK_SIZE) + 1) * BLOCK_SIZE
    const shared = begin.slice(0, random.pick([0, blocks, blocks, random.int(most), most]))
    const own = random.pick([0, 1, 1, random.int(6), random.int(6), random.int(most)])
    const prompt = [...shared, ...this.#tokens(own)].slice(0, most)
    return prompt.length > 0 ? prompt : this.#tokens(1)
  }

  #tokens(count: number): number[] {
    return Array.from({ length: count }, () => this.#random.int(BLAST_VOCAB))
  }
}
