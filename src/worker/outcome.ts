/** Turns a result or a thrown error into a plain value, so that an error keeps its code over any transport. */

import { WeirError } from '../protocol/errors.ts'
import type { Outcome } from '../protocol/service.ts'

/** The value that `answer` returns, or the error it throws; `answer` is called synchronously. */
export async function outcome<T>(answer: () => T | Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await answer() }
  } catch (thrown) {
    return { ok: false, error: WeirError.from(thrown).toData() }
  }
}
