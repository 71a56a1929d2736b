/** The simulator's command: parses arguments, prints a table, writes charts and figures to a folder. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { ArgumentError, parseArguments, type SimulationArguments } from './arguments.ts'
import { type Figures, figuresOf } from './figures.ts'
import { chartSvg, figuresJson, figuresTable, overrunNotes } from './report.ts'
import { type SimulationRun, simulate } from './simulation.ts'
import { usage } from './usage.ts'
import { buildTrace } from './workload.ts'
import { worstTable } from './worstStep.ts'

/** @returns the exit status: 2 for an invalid command line */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    await perform(parseArguments(argv), argv)
    return 0
  } catch (thrown) {
    if (!(thrown instanceof ArgumentError)) throw thrown
    console.error(thrown.message)
    return 2
  }
}

/** Runs every variant on the same trace. */
export async function compare(given: SimulationArguments): Promise<readonly SimulationRun[]> {
  const { workload, variants, device, seed, maxModelLen } = given
  const trace = buildTrace(workload, maxModelLen, seed)
  const runs: SimulationRun[] = []
  for (const variant of variants) runs.push(await simulate(trace, variant, device, seed))
  return runs
}

async function perform(given: SimulationArguments, argv: readonly string[]): Promise<void> {
  if (given.task === 'help') return console.log(usage())
  if (given.task === 'table') return console.log(`Worst real rows in one step\n\n${worstTable()}`)
  const runs = await compare(given)
  const figures: readonly Figures[] = runs.map(figuresOf)
  console.log([figuresTable(figures), ...overrunNotes(figures)].join('\n'))
  mkdirSync(given.out, { recursive: true })
  for (const each of runs) write(`${given.out}/steps-${each.name.replace(' ', '-')}.svg`, chartSvg(each))
  write(`${given.out}/figures.json`, figuresJson(argv, figures))
}

function write(path: string, content: string): void {
  writeFileSync(path, content)
  console.log(`wrote ${path}`)
}
