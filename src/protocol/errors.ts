/**
 * The errors of the public API: one class, a stable `code`, a message that names the cause and the option to change.
 * Every room throws these, and they cross the worker boundary as `ErrorData`.
 */

import type { PartialResult } from './request.ts'

export const ERROR_CODES = [
  'INVALID_OPTION',
  'INVALID_REQUEST',
  'UNSERVABLE_REQUEST',
  'MODEL_FETCH',
  'MODEL_FORMAT',
  'TRACE_FORMAT',
  'LIMIT_EXCEEDED',
  'OUT_OF_MEMORY',
  'BUDGET_EXCEEDED',
  'NUMERIC_ERROR',
  'DEVICE_LOST',
  'BACKEND_UNAVAILABLE',
  'ABORTED',
  'DISPOSED',
  'INTERNAL',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** Codes that end every request in flight: the engine refuses more, `dispose()` and a new `load()` work. */
export const FATAL_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'BUDGET_EXCEEDED',
  'OUT_OF_MEMORY',
  'DEVICE_LOST',
  'INTERNAL',
])

/** Numbers and names behind a message, for programs: `{ rows: 19, limit: 16 }`. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean>>

const NAME = 'WeirError'

/** A WeirError as structured-clonable data. */
export interface ErrorData {
  readonly code: ErrorCode
  readonly message: string
  readonly details: ErrorDetails
}

export class WeirError extends Error {
  override readonly name = NAME
  readonly code: ErrorCode
  readonly details: ErrorDetails
  /** of an error that ended a generation: what it had brought by then, if anything */
  readonly partial: PartialResult | undefined

  constructor(
    code: ErrorCode,
    message: string,
    details: ErrorDetails = {},
    options: { cause?: unknown; partial?: PartialResult | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = details
    this.partial = options.partial
  }

  /** Each file of the package that is loaded by itself has a class of its own: an error of any of them is an instance of all. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && 'name' in value && value.name === NAME && 'toData' in value
  }

  /** Whether the engine that threw it can serve no more requests. */
  get fatal(): boolean {
    return FATAL_CODES.has(this.code)
  }

  toData(): ErrorData {
    return { code: this.code, message: this.message, details: this.details }
  }

  static fromData(data: ErrorData): WeirError {
    return new WeirError(data.code, data.message, data.details)
  }

  /** Anything thrown, as a WeirError: what is not one already is a defect of ours, hence INTERNAL. */
  static from(thrown: unknown): WeirError {
    if (thrown instanceof WeirError) return thrown
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    return new WeirError('INTERNAL', message, {}, { cause: thrown })
  }
}
