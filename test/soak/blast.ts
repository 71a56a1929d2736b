/** The blast test for hours: as many steps as asked for, from seeds that no test run has seen. */

import { BLAST_EVENTS, BLAST_MAXIMA, BlastCoverage } from '../helpers/blastCoverage.ts'
import { blast } from '../helpers/blastRun.ts'

const STEPS = 1_000_000
const STEPS_PER_LINE = 100_000

export function run(): void {
  const steps = wholeNumber('WEIR_SOAK_STEPS') ?? STEPS
  const firstSeed = wholeNumber('WEIR_BLAST_SEED') ?? Date.now() % 2 ** 31
  const coverage = new BlastCoverage()
  const { events, maxima } = coverage
  const start = performance.now()
  const perSecond = (): string => ((events.steps / (performance.now() - start)) * 1000).toFixed(0)
  console.log(`${steps} steps from WEIR_BLAST_SEED=${firstSeed}`)
  let seed = firstSeed
  for (let line = STEPS_PER_LINE; events.steps < steps; seed++) {
    blast(seed, coverage)
    if (events.steps < line) continue
    console.log(`${events.steps} steps, ${perSecond()} per second`)
    line = events.steps + STEPS_PER_LINE
  }
  console.log(`\n${seed - firstSeed} runs, ${perSecond()} steps per second`)
  for (const event of BLAST_EVENTS) console.log(`${event.padEnd(24)} ${events[event]}`)
  for (const name of BLAST_MAXIMA) console.log(`${name.padEnd(24)} ${Number(maxima[name].toFixed(4))} at most`)
}

function wholeNumber(name: string): number | undefined {
  const text = process.env[name]
  if (text === undefined) return undefined
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} must be a whole number, not ${text}`)
  return value
}
