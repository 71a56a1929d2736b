/**
 * The largest step of each budget policy under a saturating load: measured on the real scheduler, and calculated from the policy's
 * rule. Compares what FastDeploy did before and after its PR #7438 with exact counting.
 */

import { BLOCK_SIZE, blocksNeeded } from '../../../src/core/cost.ts'
import type { BudgetPolicy } from '../../../src/protocol/stepRecord.ts'
import { engineOptions } from '../../helpers/coreFixtures.ts'
import { rowsOf, SchedulerRig } from '../../helpers/schedulerRig.ts'
import { table } from './report.ts'

export interface Setting {
  readonly B: number
  readonly S: number
  /** drafts per request and step */
  readonly k: number
}

export const SETTINGS: readonly Setting[] = [
  { B: 8192, S: 256, k: 1 },
  { B: 8192, S: 256, k: 5 },
  { B: 1024, S: 256, k: 3 },
  { B: 512, S: 16, k: 3 },
  { B: 256, S: 32, k: 3 },
  { B: 128, S: 16, k: 4 },
]

const POLICIES: readonly BudgetPolicy[] = ['uncharged', 'reserve', 'exact']

/** Output tokens of a decoding request: enough for it to verify all its drafts while the long prompt is prefilled. */
const DECODED = 24

export function worstByArithmetic({ B, S, k }: Setting, policy: BudgetPolicy): number {
  if (policy === 'exact') return B
  const budget = policy === 'uncharged' ? B : Math.max(B - S * (k + 1), Math.min(B, 512))
  return budget + (S - 1) * k
}

/** Computed rows of the largest step while S - 1 requests decode, every draft rejected, and a prompt longer than B is prefilled. */
export function worstMeasured({ B, S, k }: Setting, budgetPolicy: BudgetPolicy): number {
  const maxModelLen = 2 * B + 1
  const rig = new SchedulerRig(
    engineOptions({
      maxNumBatchedTokens: B,
      maxNumSeqs: S,
      maxModelLen,
      kvCacheTokens: BLOCK_SIZE * (blocksNeeded(maxModelLen) + S * blocksNeeded(1 + DECODED)),
      speculative: { method: 'mtp', numSpeculativeTokens: k, adaptive: false },
      budgetPolicy,
    }),
  )
  for (let id = 0; id < S - 1; id++) rig.add(id, 1, DECODED)
  let worst = rowsOf(rig.step())
  rig.add(S - 1, 2 * B, 1)
  while (rig.scheduler.hasUnfinished) worst = Math.max(worst, rowsOf(rig.step()))
  return worst
}

export function worstTable(): string {
  const rows: string[][] = []
  for (const setting of SETTINGS) {
    const { B, S, k } = setting
    const cells: string[] = []
    for (const policy of POLICIES) {
      const worst = worstMeasured(setting, policy)
      cells.push(`${worst}`, `${worstByArithmetic(setting, policy)}`, excess(worst, B))
    }
    rows.push([`${B}, ${S}, ${k}`, ...cells])
  }
  return table(['B, S, k', ...POLICIES.flatMap((policy) => [policy, 'by rule', 'above B'])], rows)
}

function excess(rows: number, limit: number): string {
  return rows > limit ? `+${((100 * (rows - limit)) / limit).toFixed(1)} %` : '-'
}
