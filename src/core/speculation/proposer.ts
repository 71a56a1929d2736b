/** Who proposes drafts on the host, to be verified in the very next step. The model's own drafter proposes on the device. */

import type { Request } from '../request.ts'
import type { Verification } from '../stepPlan.ts'

export interface Proposer {
  /** of proposers for tests */
  readonly verification?: Verification
  /** At most `limit` ids that may follow the committed tokens of a request; they have only grown since it was asked last. */
  propose(request: Request, limit: number): readonly number[]
  /** A request ended. */
  forget(id: number): void
}
