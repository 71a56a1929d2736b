/** What is passed to `generate`, read once into what is sent and the signal that stays. It must never know the model. */

import { WeirError } from '../protocol/errors.ts'
import type { Prompt, SamplingFields } from '../protocol/request.ts'
import { shownValue } from '../util/shownValue.ts'
import { plainData, readFields } from './plainData.ts'
import { A_SIGNAL, isSignal } from './signal.ts'

export interface ReadRequest {
  readonly prompt: Prompt
  /** as given, without missing ones; what their values mean is for the worker to check */
  readonly fields: SamplingFields
  readonly signal: AbortSignal | undefined
}

/** @throws INVALID_REQUEST naming the field that is no plain data, or no signal */
export function readRequest(prompt: unknown, options: unknown): ReadRequest {
  try {
    const { signal, ...given } = readFields(options, (found) => refuse('options', 'an object', found))
    if (signal !== undefined && !isSignal(signal)) {
      return refuse('signal', A_SIGNAL, shownValue(signal))
    }
    const plain = (field: string, value: unknown) =>
      plainData(value, (found) => refuse(field, 'plain data: numbers, strings, arrays and objects', found))
    const fields = Object.entries(given).map(([field, value]) => [field, plain(field, value)])
    // Both are whatever was passed, for the worker to check.
    return { prompt: plain('prompt', prompt) as Prompt, fields: Object.fromEntries(fields), signal }
  } catch (thrown) {
    if (thrown instanceof WeirError) throw thrown
    const reason = thrown instanceof Error ? thrown.message : String(thrown)
    throw new WeirError('INVALID_REQUEST', `the request cannot be read: ${reason}`, {}, { cause: thrown })
  }
}

function refuse(field: string, allowed: string, found: string): never {
  throw new WeirError('INVALID_REQUEST', `${field} must be ${allowed}, not ${found}`, { field, value: found })
}
