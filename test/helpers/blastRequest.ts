/**
 * A request as the oracle sees it: what it was asked for, what came of it, and, while it runs, what its rows in flight can come
 * to. Kept from plans and answers alone; it must never read the scheduler's own request.
 */

import type { RequestSpec } from '../../src/core/request.ts'
import { assert } from '../../src/util/math.ts'
import type { BlastStop } from './blastPrompts.ts'

interface RowsInFlight {
  readonly n: number
  readonly k: number
  readonly samples: boolean
}

/** From an admission to a preemption or the end. */
export class BlastSpell {
  readonly generation: number
  readonly prefillEnd: number
  computed: number
  /** m of its latest step */
  proposed = 0
  readonly inFlight: RowsInFlight[] = []

  constructor(generation: number, knownTokens: number, cachedTokens: number) {
    this.generation = generation
    this.prefillEnd = knownTokens
    this.computed = cachedTokens
  }

  get rows(): number {
    return this.inFlight.reduce((sum, { n }) => sum + n, 0)
  }

  get drafts(): number {
    return this.inFlight.reduce((sum, { k }) => sum + k, 0)
  }

  /** Tokens that the rows in flight commit at most. */
  get tokens(): number {
    return this.inFlight.reduce((sum, { k, samples }) => sum + (samples ? k + 1 : 0), 0)
  }

  get decodes(): boolean {
    return this.computed + this.rows - this.drafts >= this.prefillEnd
  }

  get prefillRemaining(): number {
    return Math.max(0, this.prefillEnd - this.computed - this.rows)
  }

  settle(accepted: number): void {
    const rows = this.inFlight.shift()
    assert(rows, 'rows are in flight')
    this.computed += rows.n - rows.k + accepted
  }
}

export class BlastRequest {
  readonly spec: RequestSpec
  readonly stop: BlastStop | undefined
  /** where it stands: by the first that differs, then by the second */
  readonly place: readonly [number, number]
  /** as the policy sees it */
  readonly priority: number
  /** committed */
  readonly tokens: number[]
  spell: BlastSpell | undefined = undefined
  preemptions = 0
  /** tokens before it were computed once and lost to a preemption */
  recomputeEnd = 0
  overtaken = 0
  /** steps with rows since it arrived */
  steps = 0
  /** requests that stood before it and were unfinished at any time since it arrived */
  ahead = 0

  constructor(spec: RequestSpec, stop: BlastStop | undefined, priority: number, place: readonly [number, number]) {
    this.spec = spec
    this.stop = stop
    this.priority = priority
    this.place = place
    this.tokens = [...spec.promptTokenIds]
  }

  get outputLength(): number {
    return this.tokens.length - this.spec.promptTokenIds.length
  }

  before(other: BlastRequest): boolean {
    return compareBlasts(this, other) < 0
  }
}

export function compareBlasts(a: BlastRequest, b: BlastRequest): number {
  return a.place[0] - b.place[0] || a.place[1] - b.place[1]
}
