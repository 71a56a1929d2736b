/** What holds a session and its service together, whatever lies between. */

import type { WeirError } from '../protocol/errors.ts'

/** What a session needs to know of the way besides the service. */
export interface Link {
  /** settles with the reason when the other side is gone by itself; never otherwise */
  readonly lost: Promise<WeirError>
  close(): void
}

/** A service in this thread: nothing lies between, nothing can be lost. */
export const IN_PROCESS: Link = { lost: new Promise(() => {}), close: () => {} }
