/** Where a request ends: stop ids, the end-of-text token, the length limit, and the text hook, also inside an accepted run. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checkStop } from '../../../src/engine/stopChecker.ts'
import { EngineRig, engineOptions, GREEDY, mtp, newRequest, promptOf } from '../../helpers/coreFixtures.ts'
import { endOf } from '../../helpers/engineRuns.ts'
import { generateAlone } from '../../helpers/mockModel.ts'

/** All drafts are right, so a run commits five tokens at once. */
function longRuns(hooks: ConstructorParameters<typeof EngineRig>[2] = {}): EngineRig {
  return new EngineRig(engineOptions({ speculative: mtp(4) }), { rightInEight: 8 }, hooks)
}

const ALONE = generateAlone(promptOf(6, 0), 40, GREEDY)

/** The output up to the first `id`, with it. */
function upTo(id: number): number[] {
  return ALONE.slice(0, ALONE.indexOf(id) + 1)
}

describe('stop ids', () => {
  it('end a request at any place of an accepted run, and the rest is not in the answer (25) [test_stop_via_update_from_output]', async () => {
    for (let index = 0; index < 12; index++) {
      const stop = ALONE[index] ?? -1
      const rig = longRuns()
      rig.engine.add(newRequest(0, 6, 40, { stopTokenIds: [stop] }))
      await rig.drain()
      const { reason, tokenIds, usage, debug } = endOf(rig, 0)
      expect(reason).toBe('stop')
      expect(tokenIds).toEqual(upTo(stop))
      expect(rig.streamed.get(0)).toEqual(tokenIds)
      expect(debug?.logits.length).toBe(tokenIds.length)
      const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
        usage.completion_tokens_details
      // Runs of five: a prefill token, then four drafts and one more. Rejected is what was verified and is not in the answer.
      const runs = Math.ceil((tokenIds.length - 1) / 5)
      const bonuses = Math.floor((tokenIds.length - 1) / 5)
      expect(accepted).toBe(tokenIds.length - 1 - bonuses)
      expect(accepted + rejected).toBe(runs * 4)
    }
  })

  it('take the end-of-text token for one unless the request ignores it', async () => {
    const eos = ALONE[7] ?? -1
    const rig = longRuns()
    rig.engine.add(newRequest(0, 6, 40, { eosTokenIds: [eos], ignoreEos: false }))
    rig.engine.add(newRequest(1, 6, 40, { promptTokenIds: promptOf(6, 0), eosTokenIds: [eos], ignoreEos: true }))
    await rig.drain()
    expect(endOf(rig, 0)).toMatchObject({ reason: 'stop', tokenIds: upTo(eos) })
    expect(endOf(rig, 1)).toMatchObject({ reason: 'length', tokenIds: ALONE })
  })

  it('are found first, at the limit too', () => {
    const ids = fc.array(fc.nat(5), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(ids, fc.uniqueArray(fc.nat(5)), fc.integer({ min: 1, max: 6 }), (tokens, stops, room) => {
        const end = checkStop(tokens, new Set(stops), room)
        const kept = tokens.slice(0, end?.keep ?? tokens.length)
        expect(kept.length).toBeLessThanOrEqual(room)
        expect(kept.slice(0, -1).some((id) => stops.includes(id))).toBe(false)
        const stopped = stops.includes(kept.at(-1) ?? -1)
        expect(end?.reason).toBe(stopped ? 'stop' : kept.length === room ? 'length' : undefined)
        if (!end) expect(kept).toEqual(tokens)
      }),
    )
  })
})

describe('the text hook', () => {
  it('ends a request at a token of its choice before the next step is scheduled (25)', async () => {
    for (let keep = 0; keep < 17; keep++) {
      let seen = 0
      const rig = longRuns({
        onTokens: (_id, ids) => {
          const before = seen
          seen += ids.length
          return seen >= keep ? { keep: Math.max(0, keep - before), reason: 'stop' } : undefined
        },
      })
      rig.engine.add(newRequest(0, 6, 40))
      await rig.drain()
      const { reason, tokenIds, usage, debug } = endOf(rig, 0)
      expect(reason).toBe('stop')
      expect(tokenIds).toEqual(ALONE.slice(0, keep))
      expect(usage.completion_tokens).toBe(keep)
      expect(debug?.logits.length).toBe(keep)
      expect(usage.completion_tokens_details.accepted_prediction_tokens).toBe(
        Math.max(0, keep - 1 - Math.floor(Math.max(0, keep - 1) / 5)),
      )
      expect(rig.records.reduce((sum, { committedTokens }) => sum + committedTokens, 0)).toBe(keep)
    }
  })

  it('never sees a token behind a stop id', async () => {
    const stop = ALONE[3] ?? -1
    const rig = longRuns({ onTokens: (_id, ids) => (ids.includes(stop) ? { keep: 1, reason: 'stop' } : undefined) })
    rig.engine.add(newRequest(0, 6, 40, { stopTokenIds: [stop] }))
    await rig.drain()
    expect(rig.streamed.get(0)).toEqual(upTo(stop))
    expect(endOf(rig, 0).tokenIds).toEqual(ALONE.slice(0, 2))
  })
})

describe('length', () => {
  it('ends at max_tokens or maxModelLen, whichever is first (15)', async () => {
    const rig = new EngineRig(engineOptions({ maxModelLen: 32 }))
    rig.engine.add(newRequest(0, 6, 9))
    rig.engine.add(newRequest(1, 30, 9))
    rig.engine.add(newRequest(2, 31, 1))
    await rig.drain()
    expect([0, 1, 2].map((id) => [endOf(rig, id).reason, endOf(rig, id).tokenIds.length])).toEqual([
      ['length', 9],
      ['length', 2],
      ['length', 1],
    ])
  })
})
