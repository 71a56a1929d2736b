/** The fixed workload of the policy comparison: a short story decoding, then three prompts of 600 tokens. */

import { describe, expect, it } from 'vitest'
import { WeirError } from '../../../src/protocol/errors.ts'
import type { BudgetPolicy } from '../../../src/protocol/stepRecord.ts'
import { EngineRig, engineOptions, mtp, newRequest, realRows } from '../../helpers/coreFixtures.ts'

const PROMPT = 600

/** @param together whether the prompts are there before the story's first step, or come after it */
async function compare(budgetPolicy: BudgetPolicy, maxNumBatchedTokens: number, together: boolean) {
  const options = engineOptions({
    maxNumBatchedTokens,
    maxNumSeqs: 16,
    maxModelLen: 1024,
    kvCacheTokens: 8192,
    speculative: mtp(3),
    budgetPolicy,
  })
  const rig = new EngineRig(options)
  rig.engine.add(newRequest(0, 12, 64))
  if (!together) await rig.engine.step()
  for (const id of [1, 2, 3]) rig.engine.add(newRequest(id, PROMPT, 8))
  const error = await rig.drain().then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  /** steps in which a prompt was still left waiting for rows */
  const full = rig.records.filter(({ prefillRows, step }) => prefillRows > 12 && (together || step > 1)).slice(0, -1)
  return { rig, error, full }
}

describe.each([false, true])('B = 576, S = 16, 3 drafts, all at once: %s', (together) => {
  it('uncharged is refused in the second step, with rows and limit', async () => {
    const { rig, error } = await compare('uncharged', 576, together)
    // Charged: 1 + 575. Real: a base row, 3 drafts and 575 rows of prompts.
    expect(error).toBeInstanceOf(WeirError)
    expect(error).toMatchObject({ code: 'BUDGET_EXCEEDED', details: { rows: 579, limit: 576 } })
    expect((error as WeirError).message).toContain('step 2: 579 rows exceed maxNumBatchedTokens 576')
    expect(rig.records.length).toBe(1)
    expect([...rig.ends.values()].every((end) => end.error === error)).toBe(true)
    expect(rig.ends.size).toBe(4)
  })

  it('reserve leaves 52 to 64 rows of every full step unused', async () => {
    const { error, full } = await compare('reserve', 576, together)
    expect(error).toBeUndefined()
    expect(full.length).toBeGreaterThanOrEqual(3)
    for (const record of full) {
      expect(record.chargedRows).toBe(512)
      expect(576 - realRows(record)).toBeGreaterThanOrEqual(52)
      expect(576 - realRows(record)).toBeLessThanOrEqual(64)
    }
  })

  it('exact fills the line, and needs no more steps', async () => {
    const { error, full, rig } = await compare('exact', 576, together)
    expect(error).toBeUndefined()
    expect(full.length).toBeGreaterThanOrEqual(3)
    for (const record of full) expect(realRows(record)).toBe(576)
    expect(rig.records.length).toBeLessThanOrEqual((await compare('reserve', 576, together)).rig.records.length)
  })
})

describe.each([false, true])('B = 256, all at once: %s', (together) => {
  it('reserve is refused exactly like uncharged, because of its floor', async () => {
    const reserve = await compare('reserve', 256, together)
    const uncharged = await compare('uncharged', 256, together)
    expect(reserve.error).toMatchObject({ code: 'BUDGET_EXCEEDED', details: { rows: 259, limit: 256 } })
    expect(reserve.error).toEqual(uncharged.error)
    expect(reserve.rig.records.length).toBe(uncharged.rig.records.length)
    const exact = await compare('exact', 256, together)
    expect(exact.error).toBeUndefined()
  })
})
