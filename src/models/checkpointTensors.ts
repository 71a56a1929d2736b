/**
 * The tensors of a safetensors checkpoint under the names of the weight plan. Models of text and images, and base models, put a prefix
 * before them or leave one out. It must never know which tensors a model needs.
 */

import { WeirError } from '../protocol/errors.ts'
import type { TensorHeader } from './weightNames.ts'

export interface CheckpointTensor extends TensorHeader {
  /** as the file has it */
  readonly fileName: string
}

/** Prefixes of files and what the weight plan has instead; the first that fits. */
const PREFIXES: readonly (readonly [prefix: string, instead: string])[] = [
  ['model.language_model.', 'model.'],
  ['language_model.', ''],
  ['layers.', 'model.layers.'],
  ['embed_tokens.', 'model.embed_tokens.'],
  ['norm.', 'model.norm.'],
]

export class CheckpointTensors {
  /** by name of the weight plan */
  readonly #tensors = new Map<string, CheckpointTensor>()

  /** @throws MODEL_FORMAT where two tensors of the files have one name */
  constructor(headers: ReadonlyMap<string, TensorHeader>) {
    for (const [fileName, { dtype, shape }] of headers) {
      const name = planName(fileName)
      const other = this.#tensors.get(name)
      if (other) refuseTensor(fileName, `would be ${name}, and so would ${other.fileName}`)
      this.#tensors.set(name, { fileName, dtype, shape })
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name)
  }

  /** Whether a matrix of this module is there, in any encoding. */
  hasModule(module: string): boolean {
    return this.has(`${module}.weight`) || this.has(`${module}.qweight`)
  }

  fileName(name: string): string | undefined {
    return this.#tensors.get(name)?.fileName
  }

  /** By name of the weight plan. */
  entries(): IterableIterator<[string, CheckpointTensor]> {
    return this.#tensors.entries()
  }

  /**
   * @param dtypes supported ones, by their names in safetensors
   * @param why completes the message if it is missing
   * @throws MODEL_FORMAT if it is missing, or has another shape or dtype
   */
  take(name: string, shape: readonly number[], dtypes: readonly string[], why: string): CheckpointTensor {
    const found = this.#tensors.get(name)
    if (!found) refuseTensor(name, `is missing${why}`)
    const { fileName, dtype } = found
    if (!dtypes.includes(dtype))
      refuseTensor(fileName, `has dtype ${dtype}; supported: ${dtypes.join(', ')}`, { dtype })
    if (found.shape.join() !== shape.join()) {
      const [actual, expected] = [`[${found.shape.join(', ')}]`, `[${shape.join(', ')}]`]
      const details = { shape: actual, expected }
      refuseTensor(fileName, `has shape ${actual}, config.json asks for ${expected}`, details)
    }
    return found
  }
}

/** @throws MODEL_FORMAT always; `what` completes the sentence */
export function refuseTensor(
  tensor: string,
  what: string,
  details: Readonly<Record<string, string | number>> = {},
): never {
  throw new WeirError('MODEL_FORMAT', `weights: tensor ${tensor} ${what}`, { tensor, ...details })
}

function planName(fileName: string): string {
  const [prefix, instead] = PREFIXES.find(([prefix]) => fileName.startsWith(prefix)) ?? ['', '']
  return instead + fileName.slice(prefix.length)
}
