/**
 * Runs a step on the host: checks the plan against the geometry, lays out its rows, has the model run them, samples and verifies,
 * and has the drafter propose. One step at a time. It must never know text, queues or budgets, nor how the model computes.
 */

import { checkBudget } from '../core/budgetCheck.ts'
import type { StepGeometry } from '../core/stepGeometry.ts'
import type { StepOutput, StepPlan } from '../core/stepPlan.ts'
import type { StepRunner } from '../core/stepRunner.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import { assert } from '../util/math.ts'
import { Drafter } from './drafting.ts'
import type { HostModel } from './hostModel.ts'
import { RequestTable } from './requestTable.ts'
import { type RequestRows, TargetRows } from './targetRows.ts'
import { Verification, type Verified } from './verification.ts'

export interface HostRunnerSetup {
  readonly model: HostModel
  readonly vocabSize: number
  readonly geometry: StepGeometry
  readonly options: EngineOptions
  /** milliseconds */
  readonly now: () => number
}

export class HostRunner implements StepRunner {
  readonly #setup: HostRunnerSetup
  readonly #table: RequestTable
  readonly #target: TargetRows
  readonly #verification: Verification
  readonly #drafter: Drafter
  /** chain of earlier steps: one runs at a time, and outputs settle in the order of submission */
  #tail: Promise<unknown> = Promise.resolve()
  /** why no step can run any more */
  #ended: WeirError | undefined

  constructor(setup: HostRunnerSetup) {
    const { model, vocabSize, geometry, options } = setup
    this.#setup = setup
    this.#table = new RequestTable(geometry)
    this.#target = new TargetRows(geometry)
    this.#verification = new Verification(vocabSize, options.debug.logits)
    this.#drafter = new Drafter(model, geometry)
  }

  /**
   * Runs one step after those submitted before it.
   * @throws BUDGET_EXCEEDED before anything of the step runs; DISPOSED; what the model throws, INTERNAL unless it is a WeirError.
   * After a step that failed while it ran, later ones fail with the same error: what the table and the KV cache hold is unknown.
   */
  submit(plan: StepPlan): Promise<StepOutput> {
    const step = this.#tail.then(() => this.#run(plan))
    this.#tail = step.catch(() => {})
    return step
  }

  /** Settles when no step runs. */
  async idle(): Promise<void> {
    await this.#tail
  }

  /** Ends the runner; a step that runs rejects. The model belongs to the caller. */
  dispose(): void {
    this.#ended ??= new WeirError('DISPOSED', 'the engine was disposed')
  }

  async #run(plan: StepPlan): Promise<StepOutput> {
    this.#check()
    checkBudget(plan, this.#setup.geometry)
    try {
      return await this.#step(plan)
    } catch (thrown) {
      this.#ended ??= stepFailure(plan, thrown)
      throw this.#ended
    }
  }

  async #step(plan: StepPlan): Promise<StepOutput> {
    const { model, now } = this.#setup
    const start = now()
    for (const write of plan.tableWrites) this.#table.fill(write)
    for (const write of plan.blockWrites) this.#table.setBlock(write)
    const requests = this.#target.fill(plan, this.#table)
    const sampled = this.#target.sampled(plan)
    const encoded = now()
    const logits = await model.forward(this.#target.batch, sampled)
    this.#check()
    const verified = this.#verify(requests, logits, sampled.length)
    const proposed = await this.#drafter.run(
      requests.map((rows, i) => ({ ...rows, verified: verified[i] as Verified })),
    )
    this.#check()
    return {
      step: plan.step,
      encodedRows: this.#target.batch.count,
      requests: requests.map(({ planned: { requestId, generation } }, i) => {
        return { requestId, generation, proposed: proposed[i] as number[], ...(verified[i] as Verified) }
      }),
      ms: { encode: encoded - start, wait: now() - encoded },
    }
  }

  /** @param logits [sampled][vocabSize] */
  #verify(requests: readonly RequestRows[], logits: Float32Array, sampled: number): readonly Verified[] {
    const { vocabSize } = this.#setup
    assert(logits.length === sampled * vocabSize, `the model gives ${sampled} rows of ${vocabSize} logits`)
    let first = 0
    return requests.map((rows) => {
      const { samples, k } = rows.planned
      const count = samples ? k + 1 : 0
      const own = logits.subarray(first * vocabSize, (first + count) * vocabSize)
      first += count
      return this.#verification.verify(rows, own)
    })
  }

  #check(): void {
    if (this.#ended) throw this.#ended
  }
}

/** What the model threw, naming the step unless it is an error of its own kind. */
function stepFailure({ step }: StepPlan, thrown: unknown): WeirError {
  if (thrown instanceof WeirError) return thrown
  const { message } = WeirError.from(thrown)
  return new WeirError('INTERNAL', `step ${step} failed on the host: ${message}`, { step }, { cause: thrown })
}
