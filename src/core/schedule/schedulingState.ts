/**
 * The scheduling order of requests, and the counters that bound starvation. A request of priority p is ordered as if it had
 * arrived p × `priorityAgingTokens` rows later. All requests age alike, so the order of two requests is fixed on arrival, and
 * every request that arrives after that point comes behind: no request waits for ever.
 */

export class SchedulingState {
  /** lower comes first; 0 of all requests under `fcfs` */
  readonly priority: number
  /** rows that the engine had run when the request arrived, plus priority × `priorityAgingTokens` */
  readonly effectiveArrival: number
  /** arrival number, which breaks ties */
  readonly arrival: number
  /** how often the request was preempted */
  preemptions = 0
  /** requests behind it in the order that were admitted before it */
  overtaken = 0

  constructor(priority: number, arrival: number, clock: number, agingTokens: number) {
    this.priority = priority
    this.arrival = arrival
    this.effectiveArrival = clock + priority * agingTokens
  }
}

/** Negative when `a` comes before `b`. A total order. */
export function compareSchedulingOrder(a: SchedulingState, b: SchedulingState): number {
  return a.effectiveArrival - b.effectiveArrival || a.arrival - b.arrival
}
