import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../../src/core/cost.ts'
import type { KvCacheManager } from '../../../../src/core/kv/kvCacheManager.ts'
import { Request, RunningRequest } from '../../../../src/core/request.ts'
import { SchedulingState } from '../../../../src/core/schedule/schedulingState.ts'
import { chooseVictim, MAX_PREEMPTIONS } from '../../../../src/core/schedule/victim.ts'
import { GREEDY } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, play } from '../../../helpers/crowdedWorkloads.ts'
import { kvManager, serve, spell } from '../../../helpers/kvFixtures.ts'
import type { SchedulerRig } from '../../../helpers/schedulerRig.ts'

/** A request that runs, all of its tokens computed. */
function run(kv: KvCacheManager, id: number, tokens: readonly number[], priority = 0, preemptions = 0): RunningRequest {
  const spec = { id, promptTokenIds: tokens, maxTotal: 1000, sampling: GREEDY, priority, cacheSalt: undefined }
  const request = new Request(spec, new SchedulingState(priority, id + 1, 0, 1))
  request.schedulingState.preemptions = preemptions
  serve(kv, request)
  return new RunningRequest(request, id, id + 1, tokens.length, kv.table(id))
}

function victimOf(kv: KvCacheManager, running: readonly RunningRequest[]): number {
  return chooseVictim(running, kv).request.id
}

describe('the victim', () => {
  it('is of the lowest priority, however much it loses', () => {
    const kv = kvManager(20)
    const running = [run(kv, 0, spell('A', 1)), run(kv, 1, spell('BCDE'), 2), run(kv, 2, spell('F', 1), 1)]
    expect(victimOf(kv, running)).toBe(1)
  })

  it('then loses the fewest tokens, however few blocks come free', () => {
    const kv = kvManager(20)
    // 33 tokens in 3 blocks; 10 in 1; 40 in 3.
    const running = [run(kv, 0, spell('ABC', 33)), run(kv, 1, spell('D', 10)), run(kv, 2, spell('EFG', 40))]
    expect(victimOf(kv, running)).toBe(1)
    expect(victimOf(kv, running.slice(0, 1).concat(running.slice(2)))).toBe(0)
  })

  it('is the newest of equals', () => {
    const kv = kvManager(20)
    const running = [0, 1, 2].map((id) => run(kv, id, spell('ABC'.charAt(id), 9)))
    expect(victimOf(kv, running)).toBe(2)
  })

  it('loses nothing of what others hold too, nor frees it', () => {
    const kv = kvManager(20)
    const running = [run(kv, 0, spell('ABC', 40)), run(kv, 1, spell('ABD', 36))]
    expect(chooseVictim(running, kv)).toMatchObject({ request: { id: 1 }, freedBlocks: 1, tokensToRecompute: 4 })
  })

  it('holds a block alone: to preempt one that shares all of its blocks would bring nothing', () => {
    const kv = kvManager(20)
    const whole = run(kv, 0, spell('AB', 33 - 1))
    const other = run(kv, 1, spell('C', 16))
    // Computed as far as the shared block only, and of the lowest priority.
    const spec = { id: 2, promptTokenIds: spell('AX'), maxTotal: 100, sampling: GREEDY, priority: 9 }
    const request = new Request({ ...spec, cacheSalt: undefined }, new SchedulingState(9, 3, 0, 1))
    kv.admit(request, kv.findCached(request))
    expect(kv.table(2)).toEqual(kv.table(0).slice(0, 1))
    const sharer = new RunningRequest(request, 2, 3, BLOCK_SIZE, kv.table(2))
    expect(victimOf(kv, [whole, other, sharer])).not.toBe(2)
    expect(kv.exclusiveBlocks(2)).toBe(0)
  })

  it('is the newest where nobody holds a block alone', () => {
    const kv = kvManager(20)
    run(kv, 9, spell('AB'))
    const sharers = [0, 1].map((id) => {
      const spec = { id, promptTokenIds: spell('ABC'), maxTotal: 100, sampling: GREEDY, priority: 0 }
      const request = new Request({ ...spec, cacheSalt: undefined }, new SchedulingState(0, id + 1, 0, 1))
      kv.admit(request, kv.findCached(request))
      return new RunningRequest(request, id, id + 1, 2 * BLOCK_SIZE, kv.table(id))
    })
    expect(chooseVictim(sharers, kv)).toMatchObject({ request: { id: 1 }, freedBlocks: 0, tokensToRecompute: 0 })
  })

  it('is not the first of all once that was preempted P times; anybody else still may be (43)', () => {
    const kv = kvManager(20)
    const first = run(kv, 0, spell('A', 2), 0, MAX_PREEMPTIONS)
    const second = run(kv, 1, spell('B', 9), 0, MAX_PREEMPTIONS)
    const third = run(kv, 2, spell('C', 16))
    expect(victimOf(kv, [first, second, third])).toBe(1)
    first.request.schedulingState.preemptions = MAX_PREEMPTIONS - 1
    expect(victimOf(kv, [first, second, third])).toBe(0)
  })

  it('is an error to ask for of one request alone, which always finds its blocks', () => {
    const kv = kvManager(20)
    expect(() => chooseVictim([run(kv, 0, spell('A', 2))], kv)).toThrow('one request alone')
  })
})

interface Candidate {
  readonly request: Request
  readonly priority: number
  readonly preemptions: number
  readonly computed: number
  readonly table: readonly number[]
}

/** In the words of the rule, counted from the tables alone. */
function victimByTheRule(running: readonly Candidate[]) {
  const holders = (block: number) => running.filter(({ table }) => table.includes(block)).length
  const asked = running
    .map((one, place) => {
      const alone = one.table.filter((block) => holders(block) === 1).length
      const lost = Math.max(0, one.computed - (one.table.length - alone) * BLOCK_SIZE)
      return { ...one, place, alone, lost }
    })
    .filter(({ place, preemptions }) => place > 0 || preemptions < MAX_PREEMPTIONS)
  const useful = asked.some(({ alone }) => alone > 0) ? asked.filter(({ alone }) => alone > 0) : asked
  const [victim] = useful.toSorted((a, b) => b.priority - a.priority || a.lost - b.lost || b.place - a.place)
  if (!victim) throw new Error('there is a victim')
  return { id: victim.request.id, freedBlocks: victim.alone, tokensToRecompute: victim.lost }
}

function candidatesOf({ scheduler }: SchedulerRig): Candidate[] {
  return scheduler.running.map(({ request, computed }) => ({
    request,
    priority: request.schedulingState.priority,
    preemptions: request.schedulingState.preemptions,
    computed,
    table: [...scheduler.kv.table(request.id)],
  }))
}

describe('whoever is preempted', () => {
  it('is the one that the rule names, one after another, in every workload (44)', () => {
    const seen = { preempted: 0, notNewest: 0, byPriority: 0, sharing: 0 }
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        let before: Candidate[] = []
        play(
          workload,
          (_rig, { preempted }) => {
            for (const { request, freedBlocks, tokensToRecompute } of preempted) {
              expect({ id: request.id, freedBlocks, tokensToRecompute }).toEqual(victimByTheRule(before))
              seen.preempted++
              if (before.at(-1)?.request !== request) seen.notNewest++
              if (request.schedulingState.priority !== before[0]?.priority) seen.byPriority++
              if (freedBlocks < (before.find((one) => one.request === request)?.table.length ?? 0)) seen.sharing++
              before = before.filter((one) => one.request !== request)
            }
          },
          (rig) => {
            before = candidatesOf(rig)
          },
        )
      }),
      { numRuns: 250 },
    )
    for (const [name, count] of Object.entries(seen)) expect(count, name).toBeGreaterThan(20)
  })
})
