/**
 * What every proposer keeps to, behind one contract: answers are those without speculation, each request is charged for its own
 * drafts and no more than it may have, and a request that wants none gets none. Run over every proposer, on every runner.
 */

import { expect, it } from 'vitest'
import type { EngineRequestEnd, NewRequest } from '../../src/engine/engineTypes.ts'
import type { StepRecord } from '../../src/protocol/stepRecord.ts'

export interface ProposerRun {
  readonly ends: readonly EngineRequestEnd[]
  readonly records: readonly StepRecord[]
}

/** A proposer in an engine of so many drafts at most; 0: without speculation. */
export type RunProposer = (requests: readonly NewRequest[], drafts: number) => Promise<ProposerRun>

export interface ProposerCase {
  readonly run: RunProposer
  readonly requests: readonly NewRequest[]
  /** how many of its drafts are right, where that is known */
  readonly accepts: 'some' | 'all' | 'none' | 'any'
}

export function proposerConformance({ run, requests, accepts }: ProposerCase): void {
  const answers = (ends: readonly EngineRequestEnd[]) => ends.map(({ tokenIds, debug }) => [tokenIds, debug?.logits])
  const sum = (records: readonly StepRecord[], of: (record: StepRecord) => number): number =>
    records.reduce((total, record) => total + of(record), 0)

  it.each([1, 2, 3, 4])(
    'with at most %i drafts answers as without speculation, ids and logits bits (22)',
    async (drafts) => {
      const plain = await run(requests, 0)
      const speculating = await run(requests, drafts)
      expect(answers(speculating.ends)).toEqual(answers(plain.ends))
      const drafted = sum(speculating.records, ({ draftRows }) => draftRows)
      const accepted = sum(speculating.records, ({ acceptedDrafts }) => acceptedDrafts)
      expect(drafted).toBeGreaterThan(0)
      if (accepts === 'none') expect(accepted).toBe(0)
      if (accepts === 'some') expect(accepted).toBeGreaterThan(0)
      if (accepts === 'all') expect(accepted).toBe(drafted)
      for (const record of speculating.records) {
        expect(record.chargedRows).toBe(record.baseRows + record.draftRows + record.prefillRows)
        expect(record.draftRows).toBeLessThanOrEqual(drafts * record.running)
      }
    },
  )

  it('gives each request at most the drafts it wants, none if it wants none (6)', async () => {
    const limited = requests.map((request, index) => ({ ...request, maxDrafts: index % 3 }))
    const { ends } = await run(limited, 4)
    ends.forEach(({ debug }, index) => {
      const most = Math.max(0, ...(debug?.steps ?? []).map(({ verified }) => verified.length))
      expect(most).toBeLessThanOrEqual(index % 3)
    })
    const plain = await run(requests, 0)
    expect(answers(ends)).toEqual(answers(plain.ends))
  })
}
