/**
 * One blast: a scheduler under random requests, aborts and resets, with the oracle beside it. The oracle follows plans and answers
 * alone and compares after every step. All follows from the setup, so that a seed says all about a failure.
 */

import { Scheduler } from '../../src/core/schedule/scheduler.ts'
import type { ScheduledRequest, SchedulerOutput } from '../../src/core/schedule/schedulerOutput.ts'
import type { RequestOutput } from '../../src/core/stepPlan.ts'
import { buildStepPlan } from '../../src/core/stepPlanBuilder.ts'
import { CACHED_BLOCK } from '../../src/protocol/blockMap.ts'
import { assert } from '../../src/util/math.ts'
import { checkAdmission } from './blastAdmission.ts'
import type { BlastCoverage } from './blastCoverage.ts'
import { BlastDevice } from './blastDevice.ts'
import { BlastLedger } from './blastLedger.ts'
import { BlastPrompts } from './blastPrompts.ts'
import { BlastRandom } from './blastRandom.ts'
import { type BlastRequest, BlastSpell } from './blastRequest.ts'
import { BlastRoster } from './blastRoster.ts'
import { checkRows } from './blastRows.ts'
import { type BlastSetup, blastSetup } from './blastSetup.ts'
import { checkVictim } from './blastVictims.ts'

/** Blocks of a pool that is checked in full after every step; a larger one is after every 16th. */
const SMALL_POOL = 16

interface StepInFlight {
  readonly output: SchedulerOutput
  readonly answers: readonly RequestOutput[]
}

/** Plays what a seed says to its end. @throws what went wrong, with the seed and the step */
export function blast(seed: number, coverage: BlastCoverage): void {
  const run = new BlastRun(blastSetup(seed), coverage)
  try {
    run.play()
  } catch (thrown) {
    const what = thrown instanceof Error ? thrown.message : String(thrown)
    throw new Error(`WEIR_BLAST_SEED=${seed}, step ${run.step}: ${what}`, { cause: thrown })
  }
}

class BlastRun {
  /** times the scheduler was asked */
  step = 0
  readonly #setup: BlastSetup
  readonly #coverage: BlastCoverage
  readonly #random: BlastRandom
  readonly #prompts: BlastPrompts
  readonly #scheduler: Scheduler
  readonly #ledger: BlastLedger
  readonly #device: BlastDevice
  readonly #roster: BlastRoster
  readonly #inFlight: StepInFlight[] = []
  #ids = 0
  #generations = 0

  constructor(setup: BlastSetup, coverage: BlastCoverage) {
    this.#setup = setup
    this.#coverage = coverage
    this.#random = new BlastRandom(setup.seed ^ 0x1b873593)
    this.#prompts = new BlastPrompts(setup)
    this.#scheduler = new Scheduler(setup.options)
    this.#ledger = new BlastLedger(this.#scheduler.kv.totalBlocks, coverage)
    this.#device = new BlastDevice(setup, this.#ledger)
    this.#roster = new BlastRoster(setup, coverage)
  }

  play(): void {
    const scheduler = this.#scheduler
    for (let turn = 0; turn < this.#setup.steps || scheduler.hasUnfinished || this.#inFlight.length > 0; turn++) {
      if (turn < this.#setup.steps) this.#arrive()
      this.#abort('aborts')
      if (this.#random.chance(this.#setup.resets, 1000)) this.#reset()
      const waits = scheduler.hasUnfinished ? this.#schedule() : true
      this.#abort('abortsInFlight')
      const { depth } = this.#setup
      while (this.#inFlight.length > (waits ? 0 : depth - 1)) {
        this.#settle()
        if (waits && this.#random.chance(1, 2)) break
      }
      this.#compare()
    }
    assert(this.#roster.all.length === 0 && !scheduler.hasUnfinished, 'nobody is left')
    assert(scheduler.kv.freeBlocks === scheduler.kv.totalBlocks, 'every block is free in the end')
  }

  #arrive(): void {
    const { arrivals, crowd } = this.#setup
    if (!this.#random.chance(arrivals, 100)) return
    for (let more = this.#random.between(1, 3); more > 0 && this.#roster.all.length < crowd; more--)
      this.#add(this.#ids++)
  }

  #add(id: number): void {
    const spec = this.#prompts.spec(id)
    this.#scheduler.add(spec)
    this.#roster.add(spec, this.#prompts.stop())
  }

  #abort(when: 'aborts' | 'abortsInFlight'): void {
    const { all } = this.#roster
    if (all.length === 0 || !this.#random.chance(this.#setup.aborts, 1000)) return
    const request = this.#random.pick(all)
    const rows = request.spell?.inFlight.length ?? 0
    this.#end(request)
    this.#coverage.count(when)
    if (rows === 0 || this.#random.chance(1, 2)) return
    this.#add(request.spec.id)
    this.#coverage.count('idsReusedInFlight')
  }

  #reset(): void {
    this.#scheduler.resetPrefixCache()
    assert(!this.#scheduler.kv.blockOwners().includes(CACHED_BLOCK), 'no prefix is kept')
    this.#coverage.count('resets')
  }

  /** @returns whether nobody gets a row before steps in flight have settled */
  #schedule(): boolean {
    this.step++
    this.#coverage.count('steps')
    const output = this.#scheduler.schedule()
    assert(output.step === this.step, 'steps are counted')
    const plan = buildStepPlan(output)
    this.#preempt(output)
    for (const share of output.requests) if (share.admitted) this.#admit(share)
    checkRows(output, plan, this.#roster.running, this.#setup.options, this.#coverage)
    for (const { running, n, k, m, samples } of output.requests) {
      const { spell } = this.#roster.get(running.request.id)
      spell?.inFlight.push({ n, k, samples })
      if (spell) spell.proposed = m
    }
    this.#ledger.apply(plan)
    const answers = this.#device.run(plan, (id) => this.#roster.get(id))
    checkAdmission(output, this.#roster, this.#ledger, this.#setup.options)
    this.#roster.stepped(output)
    this.#roster.check(this.#scheduler, output)
    if (output.requests.length > 0) this.#inFlight.push({ output, answers })
    assert(this.#inFlight.length > 0, 'somebody gets a row where no step in flight could bring one')
    return output.requests.length === 0
  }

  #preempt({ preempted, requests }: SchedulerOutput): void {
    this.#coverage.most('victimsOfStep', preempted.length)
    for (const victim of preempted) {
      const request = this.#roster.get(victim.request.id)
      checkVictim(victim, this.#roster.running, this.#ledger, this.#coverage)
      this.#coverage.count('preemptions')
      if (request.spell && request.spell.inFlight.length > 0) this.#coverage.count('victimsInFlight')
      request.recomputeEnd = Math.max(request.recomputeEnd, request.spell?.computed ?? 0)
      request.preemptions++
      this.#leave(request)
    }
    assert(preempted.length === 0 || requests.every(({ admitted }) => !admitted), 'who preempts does not admit')
  }

  #admit({ running, firstPosition }: ScheduledRequest): void {
    const { request: asked, generation } = running
    const request = this.#roster.get(asked.id)
    assert(!request.spell, `request ${asked.id} waited`)
    assert(generation > this.#generations, 'generations grow')
    assert(firstPosition < request.tokens.length, 'one known token is left to compute')
    this.#generations = generation
    request.spell = new BlastSpell(generation, request.tokens.length, firstPosition)
    if (firstPosition > 0) this.#coverage.count('prefixHits')
  }

  /** The outcome of the oldest step in flight. */
  #settle(): void {
    const step = this.#inFlight.shift()
    for (const answer of step?.answers ?? []) {
      const request = this.#roster.find(answer.requestId)
      const current = request?.spell?.generation === answer.generation
      const running = this.#scheduler.find(answer.requestId, answer.generation)
      assert((running !== undefined) === current, `request ${answer.requestId} is ${current ? '' : 'not '}meant`)
      if (request && running) this.#commit(request, answer)
      else this.#coverage.count('staleAnswers')
    }
  }

  /** As the engine does it: a stop id cuts what is committed, a text is cut once it is. */
  #commit(request: BlastRequest, { generation, accepted, tokens }: RequestOutput): void {
    const { spec, stop, spell } = request
    const running = this.#scheduler.find(spec.id, generation)
    assert(running && spell, `request ${spec.id} runs`)
    const { tokens: committed } = running.request
    const length = committed.length
    assert(length + tokens.length <= spec.maxTotal, `request ${spec.id} keeps its length limit`)
    const keep = Math.min(tokens.length, stop ? stop.after - request.outputLength : Infinity)
    this.#scheduler.settle(running, accepted, stop?.text ? tokens : tokens.slice(0, keep))
    committed.length = length + keep
    spell.settle(accepted)
    request.tokens.push(...tokens.slice(0, keep))
    assert(running.computed === spell.computed, `request ${spec.id} has ${spell.computed} computed tokens`)
    assert(committed.length === request.tokens.length, `request ${spec.id} has ${request.tokens.length} tokens`)
    const stopped = request.outputLength === stop?.after
    if (keep < tokens.length) this.#coverage.count('stopsInsideRun')
    if (stopped && stop?.text) this.#coverage.count('textStops')
    if (!stopped && committed.length < spec.maxTotal) return
    this.#coverage.count('ended')
    this.#prompts.ended(request.tokens)
    this.#end(request)
  }

  #end(request: BlastRequest): void {
    this.#scheduler.remove(request.spec.id)
    this.#leave(request)
    this.#roster.remove(request)
  }

  #leave(request: BlastRequest): void {
    if (request.spell) this.#ledger.release(request.spell.generation)
    request.spell = undefined
  }

  #compare(): void {
    const { kv } = this.#scheduler
    const generations = new Map(this.#roster.running.map(({ spec, spell }) => [spec.id, spell?.generation ?? -1]))
    this.#ledger.check(kv, generations)
    if (kv.totalBlocks <= SMALL_POOL || this.step % 16 === 0) this.#scheduler.checkIntegrity()
  }
}
