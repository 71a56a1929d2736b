/** A simulation's figures as a text table, as JSON and as a chart. It must never know where they are written. */

import { stepChart } from '../../../src/chart/stepChart.ts'
import { svgDocument } from '../../../src/chart/svg.ts'
import { LIGHT_THEME } from '../../../src/chart/theme.ts'
import type { Figures, Quantiles } from './figures.ts'
import type { SimulationRun } from './simulation.ts'

const SIZE = { width: 960, height: 300 }
/** Thin bars, so that hundreds of steps fit. */
const WIDTHS = { minPitch: 1.5, maxPitch: 56 }

type Row = readonly [name: string, cell: (figures: Figures) => string]

const ROWS: readonly Row[] = [
  ['throughput, tokens/s', ({ tokensPerSecond }) => tokensPerSecond.toFixed(1)],
  ['tokens/step', ({ tokensPerStep }) => tokensPerStep.toFixed(2)],
  ['requests/s', ({ requestsPerSecond }) => requestsPerSecond.toFixed(2)],
  ...quantileRows('time to first token', ({ timeToFirstToken }) => timeToFirstToken, 0),
  ...quantileRows('inter-token latency', ({ interToken }) => interToken, 1),
  ['budget use, all steps', ({ budgetUse }) => percent(budgetUse)],
  ['budget use, saturated steps', ({ saturatedBudgetUse }) => percent(saturatedBudgetUse)],
  ['steps', ({ steps }) => `${steps}`],
  ['saturated steps', ({ saturatedSteps }) => `${saturatedSteps}`],
  ['largest step, rows', ({ mostRows }) => `${mostRows}`],
  ['overrun rows', ({ overrunRows }) => `${overrunRows}`],
  ['overrun steps', ({ overrunSteps }) => `${overrunSteps}`],
  ['preemptions', ({ preemptions }) => `${preemptions}`],
  ['preempted requests', ({ preemptedRequests }) => `${preemptedRequests}`],
  ['recomputed rows', ({ recomputedRows }) => `${recomputedRows}`],
  ['accepted drafts', ({ acceptance }) => percent(acceptance)],
  ['cached tokens', ({ cachedTokens }) => `${cachedTokens}`],
  ['finished requests', ({ finishedRequests }) => `${finishedRequests}`],
  ['virtual seconds', ({ seconds }) => seconds.toFixed(2)],
]

/** One column per run. */
export function figuresTable(runs: readonly Figures[]): string {
  const body = ROWS.map(([name, cell]) => [name, ...runs.map(cell)])
  const refused: readonly string[] = ['ended', ...runs.map(ending)]
  const all = runs.some((run) => run.refused) ? [...body, refused] : body
  return table(['', ...runs.map(({ name }) => name)], all)
}

/** One note per run that exceeded B, as real buffers would have refused the step. */
export function overrunNotes(runs: readonly Figures[]): readonly string[] {
  return runs
    .filter(({ overrunSteps }) => overrunSteps > 0)
    .map(({ name, overrunSteps, limit }) => {
      return `${name}: ${overrunSteps} steps had more than ${limit} rows; a real engine refuses the first with BUDGET_EXCEEDED`
    })
}

/** A text table, the first column aligned left and the others right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)
  return all.map((row) => row.map(pad).join('  ').trimEnd()).join('\n')
}

/** The step-token chart of as many of the run's last steps as fit. */
export function chartSvg({ name, options, records, refused }: SimulationRun): string {
  const limit = options.maxNumBatchedTokens
  const title = `${name} at B = ${limit}, S = ${options.maxNumSeqs}, ${drafts(options.speculative)}`
  const { shapes } = stepChart({
    records,
    limit,
    refused,
    theme: LIGHT_THEME,
    title,
    legend: true,
    widths: WIDTHS,
    ...SIZE,
  })
  return svgDocument(shapes, { ...SIZE, title })
}

/** @param argv the command line, to repeat the run */
export function figuresJson(argv: readonly string[], runs: readonly Figures[]): string {
  return `${JSON.stringify({ arguments: argv, runs }, null, 1)}\n`
}

function drafts(speculative: SimulationRun['options']['speculative']): string {
  return speculative === undefined ? 'no drafter' : `${speculative.numSpeculativeTokens} drafts`
}

function quantileRows(name: string, of: (figures: Figures) => Quantiles | undefined, digits: number): Row[] {
  const keys = ['p50', 'p95', 'p99', 'max'] as const
  return keys.map((key) => [`${name}, ${key} ms`, (figures) => of(figures)?.[key].toFixed(digits) ?? '-'])
}

function percent(part: number | undefined): string {
  return part === undefined ? '-' : `${(100 * part).toFixed(1)} %`
}

function ending({ refused }: Figures): string {
  return refused ? `refused: step ${refused.step}, ${refused.rows} rows` : 'done'
}
