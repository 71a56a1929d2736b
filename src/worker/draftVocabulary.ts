/**
 * The draft vocabulary: the ids that drafts are chosen from, taken from a file or from the order of the tokenizer's merges
 * (most frequent first), and cut to `draftVocabSize`. It must never know how a draft is made.
 */

import type { ModelFiles } from '../loader/source.ts'
import { WeirError } from '../protocol/errors.ts'
import type { SpeculativeLoadOptions } from '../protocol/options.ts'
import { frequencyOrder } from '../tokenizer/frequencyOrder.ts'

type Asked = Pick<SpeculativeLoadOptions, 'draftVocabSize' | 'draftVocabFile'>

/**
 * @returns ids in ascending order, so that a tie of logits goes to the lowest id; undefined: the whole vocabulary
 * @throws INVALID_OPTION when there are fewer ids than asked for, MODEL_FORMAT naming the fault in the file, MODEL_FETCH
 */
export async function draftVocabulary(
  files: Pick<ModelFiles, 'tokenizer' | 'readJson'>,
  { draftVocabSize: size, draftVocabFile: file }: Asked = {},
  vocabSize: number,
): Promise<readonly number[] | undefined> {
  if (file === undefined && (size === undefined || size === vocabSize)) return undefined
  const order = file === undefined ? frequencyOrder(files.tokenizer, vocabSize) : await readIds(files, file, vocabSize)
  if (size !== undefined && order.length < size) {
    const what = file === undefined ? `tokens of the model's vocabulary` : `ids in ${file}`
    throw new WeirError(
      'INVALID_OPTION',
      `speculative.draftVocabSize ${size} exceeds the ${order.length} ${what}: lower it or leave it out`,
      { draftVocabSize: size, most: order.length },
    )
  }
  const ids = order.slice(0, size).sort((a, b) => a - b)
  return ids.length === vocabSize ? undefined : ids
}

/** Reads the file's ids; errors name the option as well as the file. */
async function readIds(files: Pick<ModelFiles, 'readJson'>, file: string, vocabSize: number): Promise<number[]> {
  try {
    return checkIds(file, await files.readJson(file), vocabSize)
  } catch (cause) {
    const { code, message, details } = WeirError.from(cause)
    const option = 'speculative.draftVocabFile'
    throw new WeirError(code, `${option}: ${message}`, { ...details, option }, { cause })
  }
}

function checkIds(file: string, value: unknown, vocabSize: number): number[] {
  const refuse = (fault: string): never => {
    throw new WeirError('MODEL_FORMAT', `${file}: ${fault}`, { file })
  }
  if (!Array.isArray(value) || value.length === 0) return refuse('a draft vocabulary is a JSON array of token ids')
  const ids = new Set<number>()
  for (const [index, id] of value.entries()) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      refuse(`entry ${index}, ${JSON.stringify(id)}, is not an id of the model's vocabulary of ${vocabSize}`)
    }
    if (ids.has(id)) refuse(`entry ${index}: id ${id} is there twice`)
    ids.add(id)
  }
  return [...ids]
}
