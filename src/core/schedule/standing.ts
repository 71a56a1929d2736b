/**
 * Where a request stands among others. Ageing needs no clock that ticks while it waits: all requests age alike, so what
 * decides between two of them is fixed on arrival. A request of priority p stands as if it had arrived p levels' worth of
 * tokens later, and whatever arrives after that stands behind it: nothing waits without end.
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
