/** Abort signals of any window: known by what they do, as `instanceof` knows only those of this one. */

import { WeirError } from '../protocol/errors.ts'

/** Completes "must be …". */
export const A_SIGNAL = "an AbortSignal, such as an AbortController's signal, and no proxy of one"

export function isSignal(value: unknown): value is AbortSignal {
  try {
    const { aborted, addEventListener, removeEventListener } = Object(value)
    return typeof aborted === 'boolean' && [addEventListener, removeEventListener].every(isFunction)
  } catch {
    // A signal behind a proxy does not even tell whether it is aborted.
    return false
  }
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function'
}

export function aborted(signal: AbortSignal): WeirError {
  return new WeirError('ABORTED', 'aborted by its signal', {}, { cause: signal.reason })
}

/** `promise`, or ABORTED as soon as `signal` says so, whatever `promise` still does. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise
  let onAbort = () => {}
  const aborting = new Promise<never>((_, reject) => {
    onAbort = () => reject(aborted(signal))
  })
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([promise, aborting])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
