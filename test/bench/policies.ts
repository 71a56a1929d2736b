/** Compares the budget policies on one fixed workload, as the page does. Prints a table, writes charts and figures. */

import { stepChart } from '../../src/chart/stepChart.ts'
import { rowsOf } from '../../src/chart/stepText.ts'
import { svgDocument } from '../../src/chart/svg.ts'
import { LIGHT_THEME } from '../../src/chart/theme.ts'
import { captions, comparePolicies, fullSteps, type PolicyRun, WORKLOAD } from '../../src/demo/policyComparison.ts'
import { FAIRY_TALES, load } from './engines.ts'
import { printTable, writeFigure } from './figures.ts'

const SIZE = { width: 720, height: 260 }

export async function run(): Promise<void> {
  console.log(`\nBudget policies, fairy-tales, S = ${WORKLOAD.maxNumSeqs}, ${WORKLOAD.drafts} drafts`)
  const runs = await comparePolicies({ load }, FAIRY_TALES)
  const words = captions(runs)
  const header = ['policy', 'B', 'steps', 'full steps', 'most rows', 'unused in full steps', 'rows run', 'ended']
  printTable(header, runs.map(tableRow))
  runs.forEach((each, index) => {
    console.log(`${each.policy} at ${each.limit}: ${words[index]}`)
    writeFigure(`policies-${each.policy}-${each.limit}.svg`, chart(each))
  })
  const figures = runs.map((each, index) => ({ ...each, caption: words[index] }))
  writeFigure('policies.json', `${JSON.stringify(figures, null, 1)}\n`)
}

function tableRow(each: PolicyRun): string[] {
  const rows = each.records.map(rowsOf)
  const unused = fullSteps(each).map((full) => each.limit - full)
  return [
    each.policy,
    `${each.limit}`,
    `${rows.length}`,
    `${unused.length}`,
    `${Math.max(...rows, each.refused?.rows ?? 0)}`,
    unused.length > 0 ? `${Math.min(...unused)} to ${Math.max(...unused)}` : '-',
    `${rows.reduce((sum, count) => sum + count, 0)}`,
    each.refused ? `${each.refused.code} in step ${each.refused.step}` : 'done',
  ]
}

function chart(each: PolicyRun): string {
  const { records, limit, refused } = each
  const title = `${each.policy} at B = ${limit}`
  const { shapes } = stepChart({ records, limit, refused, theme: LIGHT_THEME, title, legend: true, ...SIZE })
  return svgDocument(shapes, { ...SIZE, title })
}
