/**
 * Checked reading of a JSON object: a field has the required type and range, or a MODEL_FORMAT error names the file, the
 * field and the value. It must never know which fields a model has.
 */

import { WeirError } from '../protocol/errors.ts'
import type { NumberRange } from '../protocol/ranges.ts'

const MAX_SHOWN = 80

/** No size of a model is near it. */
const MOST = 2 ** 31 - 1

/** No factor of a model is near these, and products of a few stay numbers. */
const [LEAST_NUMBER, MOST_NUMBER] = [1e-30, 1e30]

function isFactor(value: unknown): value is number {
  return typeof value === 'number' && value >= LEAST_NUMBER && value <= MOST_NUMBER
}

export type JsonObject = Readonly<Record<string, unknown>>

export class ConfigFields {
  readonly #file: string
  readonly #record: JsonObject
  readonly #defaults: JsonObject

  /**
   * @param file name in messages
   * @param defaults values of fields that are left out; null counts as stated
   * @throws MODEL_FORMAT unless `value` is a JSON object
   */
  constructor(file: string, value: unknown, defaults: JsonObject = {}) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new WeirError('MODEL_FORMAT', `${file}: expected a JSON object, found ${shown(value)}`, { file })
    }
    this.#file = file
    this.#record = value as JsonObject
    this.#defaults = defaults
  }

  /** The same fields with the values of those that are left out. */
  withDefaults(defaults: JsonObject): ConfigFields {
    return new ConfigFields(this.#file, this.#record, defaults)
  }

  /** Whether the field has a value, a default included. Transformers writes null for "not set". */
  has(name: string): boolean {
    return this.raw(name) !== undefined
  }

  /** Whether the object itself has a value for it. */
  states(name: string): boolean {
    return (this.#own(name) ?? undefined) !== undefined
  }

  /** The field's value; null counts as missing. */
  raw(name: string): unknown {
    const own = this.#own(name)
    if (own !== undefined) return own ?? undefined
    return Object.hasOwn(this.#defaults, name) ? (this.#defaults[name] ?? undefined) : undefined
  }

  #own(name: string): unknown {
    return Object.hasOwn(this.#record, name) ? this.#record[name] : undefined
  }

  names(): string[] {
    return Object.keys(this.#record)
  }

  /** An integer of least…most. */
  integer(name: string, least = 1, most = MOST): number {
    const value = this.raw(name)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least || value > most) {
      this.refuse(name, `must be an integer of ${most === MOST ? `at least ${least}` : `${least}…${most}`}`)
    }
    return value
  }

  /** A number above 0, of 1e-30…1e30. */
  number(name: string): number {
    const value = this.raw(name)
    return isFactor(value) ? value : this.refuse(name, 'must be a number above 0, of 1e-30…1e30')
  }

  /** The same, or undefined. */
  optionalNumber(name: string): number | undefined {
    return this.has(name) ? this.number(name) : undefined
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

  /** The string of one of two spellings of a field; undefined if both are missing. */
  eitherString(name: string, other: string): string | undefined {
    const [a, b] = [name, other].map((field) => (this.has(field) ? this.string(field) : undefined))
    if (a !== undefined && b !== undefined && a !== b) this.refuse(name, `${other} says ${shown(b)}`)
    return a ?? b
  }

  /** A list of numbers above 0, or undefined. */
  numbers(name: string): number[] | undefined {
    const value = this.raw(name)
    if (value === undefined) return undefined
    if (!Array.isArray(value) || !value.every(isFactor)) this.refuse(name, 'must be a list of numbers above 0')
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
    const value = shown(this.#own(name))
    throw new WeirError('MODEL_FORMAT', `${this.#file}: ${name} is ${value}; ${reason}`, {
      file: this.#file,
      field: name,
      value,
    })
  }
}

/** A value of JSON in a message. */
export function shown(value: unknown): string {
  let text = 'missing'
  try {
    if (value !== undefined) text = JSON.stringify(value)
  } catch {
    text = 'too deep' // thousands of lists in lists
  }
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
