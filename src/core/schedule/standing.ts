/**
 * The order of requests, by priority and arrival. All requests age alike, so the order of two of them is fixed on arrival and needs no
 * clock that ticks while they wait. A request of priority p is ordered as if it had arrived p × `priorityAgingTokens` later; requests
 * that arrive after that come after it, so no request waits without end.
 */

export class Standing {
  /** lower comes first; 0 of all requests under `fcfs` */
  readonly priority: number
  /** rows that the engine had run when it arrived, later by its priority's worth of them */
  readonly due: number
  /** counts arrivals */
  readonly arrival: number
  /** times it was preempted */
  preemptions = 0
  /** requests that were admitted past it while it was the first that could not be */
  overtaken = 0

  constructor(priority: number, arrival: number, clock: number, agingTokens: number) {
    this.priority = priority
    this.arrival = arrival
    this.due = clock + priority * agingTokens
  }
}

/** Negative when `a` comes before `b`. A total order. */
export function compareStanding(a: Standing, b: Standing): number {
  return a.due - b.due || a.arrival - b.arrival
}
