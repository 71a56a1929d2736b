/** The names of a GGUF model's files, where it is split into several. It must never know how to fetch or read them. */

import type { GgufMetadata } from '../models/ggufFields.ts'
import { WeirError } from '../protocol/errors.ts'

const PART = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/

/**
 * All files of the model that the named file is part of, in order; the first one's metadata describe the model, and each lists its own
 * tensors. Of each part, call it again with the part's metadata.
 * @param name of the file, as 'model-00001-of-00003.gguf'
 * @param metadata of the same file
 * @throws MODEL_FORMAT where name and metadata disagree
 */
export function splitNames(name: string, metadata: GgufMetadata): string[] {
  const count = splitNumber(name, metadata, 'split.count', 1)
  const index = splitNumber(name, metadata, 'split.no', 0)
  const [, prefix, part, parts] = PART.exec(name) ?? []
  if (part === undefined || parts === undefined) {
    if (count === 1) return [name]
    const expected = `NAME-${digits(index + 1)}-of-${digits(count)}.gguf`
    refuse(
      name,
      `is part ${index + 1} of ${count}, by its metadata; all parts must be there, each named as ${expected}`,
    )
  }
  if (Number(part) !== index + 1 || Number(parts) !== count) {
    refuse(name, `is part ${index + 1} of ${count}, by its metadata; give it back the name that it was made with`)
  }
  return Array.from({ length: count }, (_, other) => `${prefix}-${digits(other + 1)}-of-${parts}.gguf`)
}

function splitNumber(name: string, metadata: GgufMetadata, key: string, missing: number): number {
  const value = metadata.get(key) ?? missing
  if (typeof value !== 'number' || !Number.isInteger(value) || value < missing || value > 99_999) {
    refuse(name, `is corrupted: ${key} is ${String(value)}; it must be an integer of at least ${missing}`)
  }
  return value
}

function digits(number: number): string {
  return String(number).padStart(5, '0')
}

function refuse(name: string, fault: string): never {
  throw new WeirError('MODEL_FORMAT', `${name} ${fault}`, { file: name })
}
