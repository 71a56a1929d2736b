/** The model's tokens as text and back, so that runtimes that take text alone get the same prompts. */

import { readFileSync } from 'node:fs'
import { Tokenizer } from '../../../src/tokenizer/tokenizer.ts'
import type { Prompt } from './page/driver.ts'

export class Vocabulary {
  readonly #tokenizer: Tokenizer
  /** ids of whole words with the space before them, which stay single tokens whatever stands beside them */
  readonly wordIds: readonly number[]

  /** @param folder of the model */
  constructor(folder: string) {
    const file = (name: string): unknown => JSON.parse(readFileSync(`${folder}/${name}`, 'utf8'))
    this.#tokenizer = Tokenizer.fromFiles(file('tokenizer.json'), file('tokenizer_config.json'))
    const ids = Array.from({ length: this.#tokenizer.vocabSize }, (_, id) => id)
    this.wordIds = ids.filter((id) => /^ [a-z]{2,}$/.test(this.textOf([id])) && this.promptOf([id]))
  }

  textOf(ids: readonly number[]): string {
    return this.#tokenizer.decode([...ids])
  }

  /** The ids as a prompt; undefined if their text has other ids. */
  promptOf(ids: readonly number[]): Prompt | undefined {
    const text = this.textOf(ids)
    return this.#tokenizer.encode(text).join() === ids.join() ? { ids, text } : undefined
  }
}
