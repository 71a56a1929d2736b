/** The tables of the comparison, from its runs. Where weir is slower than a peer is listed by itself. */

import { median, printTable, type Ratio, ratio, writeFigure } from '../figures.ts'
import type { Engine } from './engines.ts'
import { PEERS } from './peers.ts'
import { WORKLOADS } from './workloads.ts'

export interface Run {
  readonly engine: string
  readonly workload: string
  readonly round: number
  /** tokens that the workload counts */
  readonly perSecond: number
}

export interface Conditions {
  readonly browser: string
  readonly threads: number
  readonly rounds: number
}

/** Median and quartiles. */
interface Speed {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** Speeds of an engine over those of another in the same rounds. */
interface Comparison {
  readonly engine: string
  readonly to: string
  readonly workload: string
  readonly ratio: Ratio
}

const HEADER = WORKLOADS.map(({ name }) => name)

/** Prints the tables and writes them, with every run, to a file. */
export function report(
  conditions: Conditions,
  engines: readonly Pick<Engine, 'name' | 'runtime' | 'runsOn'>[],
  runs: readonly Run[],
): void {
  console.log(
    `\nBackends, fairy-tales in ${conditions.browser}, ${conditions.threads} thread(s), ${conditions.rounds} rounds`,
  )
  console.log(
    Object.entries(PEERS)
      .map((each) => each.join(' '))
      .join(', '),
  )
  console.log('output tokens per second, of the last column prompt tokens: median (quartiles)')
  const speeds = engines.map(({ name, runsOn }) => ({
    engine: name,
    runsOn,
    speeds: Object.fromEntries(
      HEADER.map((workload) => [workload, speed([...speedsOf(runs, name, workload).values()])]),
    ),
  }))
  printTable(
    ['', ...HEADER],
    speeds.map((each) => [each.engine, ...HEADER.map((workload) => shownSpeed(each.speeds[workload]))]),
  )
  const comparisons: Comparison[] = []
  for (const { name } of engines.filter(({ runtime }) => runtime === 'weir')) {
    const others = engines.filter((other) => other.name !== name).map((other) => compare(runs, name, other.name))
    console.log(`\n${name}, times as fast (95 % interval) as`)
    printTable(
      ['', ...HEADER],
      others.map((row) => [row[0]?.to ?? '', ...row.map((each) => shownRatio(each.ratio))]),
    )
    comparisons.push(...others.flat())
  }
  const slower = comparisons.filter((each) => each.ratio.mean < 1)
  console.log(`\nslower: ${slower.length === 0 ? 'nothing' : ''}`)
  for (const each of slower) {
    console.log(`  ${each.engine} than ${each.to}, ${each.workload}: ${shownRatio(each.ratio)}`)
  }
  const figures = { ...conditions, peers: PEERS, workloads: WORKLOADS, speeds, comparisons, runs }
  writeFigure('backends.json', `${JSON.stringify(figures, null, 1)}\n`)
}

/** By round. */
function speedsOf(runs: readonly Run[], engine: string, workload: string): ReadonlyMap<number, number> {
  const these = runs.filter((run) => run.engine === engine && run.workload === workload)
  return new Map(these.map(({ round, perSecond }) => [round, perSecond]))
}

function speed(values: readonly number[]): Speed {
  const sorted = [...values].sort((a, b) => a - b)
  const half = Math.ceil(sorted.length / 2)
  return { median: median(sorted), low: median(sorted.slice(0, half)), high: median(sorted.slice(-half)) }
}

/** [workloads] */
function compare(runs: readonly Run[], engine: string, to: string): Comparison[] {
  return HEADER.map((workload) => {
    const others = speedsOf(runs, to, workload)
    const own = speedsOf(runs, engine, workload)
    const common = [...own.keys()].filter((round) => others.has(round))
    const ratios = common.map((round) => (own.get(round) ?? Number.NaN) / (others.get(round) ?? Number.NaN))
    return { engine, to, workload, ratio: ratio(ratios) }
  })
}

function shownSpeed(of: Speed | undefined): string {
  if (!of || Number.isNaN(of.median)) return '-'
  const [mid, low, high] = [of.median, of.low, of.high].map((value) => value.toFixed(value < 20 ? 1 : 0))
  return `${mid} (${low}…${high})`
}

function shownRatio({ mean, low, high }: Ratio): string {
  if (Number.isNaN(mean)) return '-'
  return `${mean.toFixed(2)} (${low.toFixed(2)}…${high.toFixed(2)})`
}
