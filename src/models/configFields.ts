/**
 * Checked reading of a JSON object: a field has the required type and range, or a MODEL_FORMAT error names the file, the
 * field and the value. It must never know which fields a model has.
 */

import { WeirError } from '../protocol/errors.ts'
import type { NumberRange } from '../protocol/ranges.ts'

const MAX_SHOWN = 80

export class ConfigFields {
  readonly #file: string
  readonly #record: Readonly<Record<string, unknown>>

  /** @throws MODEL_FORMAT unless `value` is a JSON object. `file` is the name used in messages. */
  constructor(file: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new WeirError('MODEL_FORMAT', `${file}: expected a JSON object, found ${shown(value)}`, { file })
    }
    this.#file = file
    this.#record = value as Record<string, unknown>
  }

  /** Whether the field is present and not null: Transformers writes null for "not set". */
  has(name: string): boolean {
    return this.raw(name) !== undefined
  }

  /** The field's value; null counts as missing. */
  raw(name: string): unknown {
    return Object.hasOwn(this.#record, name) ? (this.#record[name] ?? undefined) : undefined
  }

  names(): string[] {
    return Object.keys(this.#record)
  }

  /** An integer of at least `least`. */
  integer(name: string, least = 1): number {
    const value = this.raw(name)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least) {
      this.refuse(name, `must be an integer of at least ${least}`)
    }
    return value
  }

  /** A finite number above 0. */
  number(name: string): number {
    const value = this.raw(name)
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0)
      this.refuse(name, 'must be a number above 0')
    return value
  }

  within(name: string, { accepts, allowed }: NumberRange): number {
    const value = this.raw(name)
    return accepts(value) ? value : this.refuse(name, `must be ${allowed}`)
  }

  boolean(name: string, missing: boolean): boolean {
    const value = this.raw(name)
    if (value === undefined) return missing
    if (typeof value !== 'boolean') this.refuse(name, 'must be true or false')
    return value
  }

  string(name: string): string {
    const value = this.raw(name)
    if (typeof value !== 'string') this.refuse(name, 'must be a string')
    return value
  }

  /** A token id or a list of ids, each below `vocabSize`; [] when missing. */
  tokenIds(name: string, vocabSize = Number.POSITIVE_INFINITY): number[] {
    const value = this.raw(name)
    if (value === undefined) return []
    const ids: readonly unknown[] = Array.isArray(value) ? value : [value]
    return ids.map((id) => {
      if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0 && id < vocabSize) return id
      return this.refuse(name, `must be a token id or a list of them, each below ${vocabSize}`)
    })
  }

  /** The object in the field, or undefined. */
  nested(name: string): ConfigFields | undefined {
    return this.has(name) ? new ConfigFields(`${this.#file}: ${name}`, this.raw(name)) : undefined
  }

  /** @throws MODEL_FORMAT naming file, field and value; `reason` completes the sentence. */
  refuse(name: string, reason: string): never {
    const value = shown(this.#record[name])
    throw new WeirError('MODEL_FORMAT', `${this.#file}: ${name} is ${value}; ${reason}`, {
      file: this.#file,
      field: name,
      value,
    })
  }
}

function shown(value: unknown): string {
  const text = value === undefined ? 'missing' : JSON.stringify(value)
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
