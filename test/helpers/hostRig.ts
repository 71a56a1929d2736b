/** The host runner over the mock host model, alone or beside the mock runner, which must answer the same step by step. */

import { expect } from 'vitest'
import { stepGeometry } from '../../src/core/stepGeometry.ts'
import type { StepOutput, StepPlan } from '../../src/core/stepPlan.ts'
import type { StepRunner } from '../../src/core/stepRunner.ts'
import { HostRunner } from '../../src/host/hostRunner.ts'
import { rowDigest } from '../../src/host/sampling/digest.ts'
import type { EngineOptions } from '../../src/protocol/engineOptions.ts'
import { logitsOf, MockHostModel, type MockHostOptions, sampleLogits } from './mockHostModel.ts'
import { MOCK_VOCAB_SIZE } from './mockModel.ts'
import type { MockRunner, MockRunnerOptions } from './mockRunner.ts'

export interface HostRig {
  readonly runner: HostRunner
  readonly model: MockHostModel
}

/** A clock that counts its readings. */
export function hostRig(options: EngineOptions, mock: MockHostOptions = {}): HostRig {
  const model = new MockHostModel(mock)
  let time = 0
  const geometry = stepGeometry(MOCK_VOCAB_SIZE, options)
  const runner = new HostRunner({ model, vocabSize: MOCK_VOCAB_SIZE, geometry, options, now: () => time++ })
  return { runner, model }
}

/** Options of a mock runner beside which the host runner runs each step; the mock's outputs are what the engine gets. */
export function beside(options: EngineOptions, rightInEight = 5): MockRunnerOptions {
  const { runner } = hostRig(options, { rightInEight })
  return { rightInEight, sample: sampleLogits, instead: (mock) => new ComparedRunner(mock, runner, options) }
}

class ComparedRunner implements StepRunner {
  readonly #mock: MockRunner
  readonly #host: HostRunner
  readonly #options: EngineOptions

  constructor(mock: MockRunner, host: HostRunner, options: EngineOptions) {
    this.#mock = mock
    this.#host = host
    this.#options = options
  }

  async submit(plan: StepPlan): Promise<StepOutput> {
    const expected = await this.#mock.submit(plan)
    const { requests, ...step } = await this.#host.submit(plan)
    expect(step).toEqual({ step: plan.step, encodedRows: plan.rows, ms: { encode: 1, wait: 1 } })
    expect(requests).toEqual(expected.requests.map((request) => ({ ...request, logits: this.#logits(request) })))
    return expected
  }

  /** The mock runner's digests are prefixes. */
  #logits({ logits }: StepOutput['requests'][number]): string[] | undefined {
    if (!logits?.length || this.#options.debug.logits !== 'digest') return undefined
    return logits.map((state) => rowDigest(logitsOf(Number.parseInt(String(state), 16))))
  }
}
