/** An answer that keeps its error's code over any transport. */

import { WeirError } from '../protocol/errors.ts'
import type { Outcome } from '../protocol/service.ts'

/** What `answer` gives or throws; `answer` runs at once. */
export async function outcome<T>(answer: () => T | Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await answer() }
  } catch (thrown) {
    return { ok: false, error: WeirError.from(thrown).toData() }
  }
}
