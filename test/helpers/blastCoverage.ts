/** How often a blast met what it is meant to meet, so that a test can say that it tested something. */

export const BLAST_EVENTS = [
  'steps',
  'requests',
  'ended',
  // rows
  'draftsShortOfRows',
  'shortOfBlocks',
  'cutByThreshold',
  // blocks
  'prefixHits',
  'sharedBlocks',
  'revivedBlocks',
  'evictions',
  'resets',
  // order
  'preemptions',
  'victimsInFlight',
  'immuneSpares',
  'overtakes',
  'heldForBlocks',
  'heldForSharedPrefix',
  'heldForPartialPrefills',
  // ends
  'aborts',
  'abortsInFlight',
  'idsReusedInFlight',
  'staleAnswers',
  'stopsInsideRun',
  'textStops',
] as const

export type BlastEvent = (typeof BLAST_EVENTS)[number]

/** Of one request, or of one step. */
export const BLAST_MAXIMA = ['preemptionsOfOne', 'victimsOfStep', 'overtakesOfOne', 'stepsOfOne', 'boundUsed'] as const

export type BlastMaximum = (typeof BLAST_MAXIMA)[number]

export class BlastCoverage {
  readonly events = Object.fromEntries(BLAST_EVENTS.map((event) => [event, 0])) as Record<BlastEvent, number>
  readonly maxima = Object.fromEntries(BLAST_MAXIMA.map((name) => [name, 0])) as Record<BlastMaximum, number>

  count(event: BlastEvent, times = 1): void {
    this.events[event] += times
  }

  most(name: BlastMaximum, value: number): void {
    this.maxima[name] = Math.max(this.maxima[name], value)
  }

  add(other: BlastCoverage): void {
    for (const event of BLAST_EVENTS) this.count(event, other.events[event])
    for (const name of BLAST_MAXIMA) this.most(name, other.maxima[name])
  }
}
