/** Options, requests and whole runs for tests of core and engine, with the mock runner behind the engine. */

import { GREEDY } from '../../src/core/samplingParams.ts'
import type { DraftingParts } from '../../src/core/speculation/speculation.ts'
import { EngineCore } from '../../src/engine/engineCore.ts'
import type { EngineHooks, EngineRequestEnd, NewRequest } from '../../src/engine/engineTypes.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import type { StepRecord } from '../../src/protocol/stepRecord.ts'
import { MOCK_VOCAB_SIZE } from './mockModel.ts'
import { MockRunner, type MockRunnerOptions } from './mockRunner.ts'

export { GREEDY }

export function engineOptions(changes: Partial<EngineOptions> = {}): EngineOptions {
  return {
    maxNumBatchedTokens: 64,
    maxNumSeqs: 8,
    maxModelLen: 256,
    kvCacheTokens: 4096,
    speculative: mtp(3),
    budgetPolicy: 'exact',
    kvCacheDtype: 'f16',
    enablePrefixCaching: true,
    longPrefillTokenThreshold: 0,
    maxNumPartialPrefills: 0,
    schedulingPolicy: 'fcfs',
    priorityAgingTokens: 1024,
    watermark: 0,
    penalties: true,
    debug: { logits: 'digest', steps: true, trace: false },
    ...changes,
  }
}

export function mtp(numSpeculativeTokens: number): EngineOptions['speculative'] {
  return { method: 'mtp', numSpeculativeTokens, adaptive: false }
}

/** A prompt of `length` tokens, another one for each `seed`. */
export function promptOf(length: number, seed: number): number[] {
  return Array.from({ length }, (_, i) => ((seed + 1) * 7919 + i * i * 31 + i * 17) % MOCK_VOCAB_SIZE)
}

export function newRequest(
  id: number,
  promptLength: number,
  maxTokens: number,
  changes: Partial<NewRequest> = {},
): NewRequest {
  return {
    id,
    promptTokenIds: promptOf(promptLength, id),
    maxTokens,
    sampling: GREEDY,
    priority: 0,
    cacheSalt: undefined,
    stopTokenIds: [],
    eosTokenIds: [],
    ignoreEos: true,
    debug: { logits: true, steps: true },
    ...changes,
  }
}

/** An engine over a mock runner that remembers all it said. Its clock counts the readings of it. */
export class EngineRig {
  readonly engine: EngineCore
  readonly runner: MockRunner
  readonly records: StepRecord[] = []
  readonly ends = new Map<number, EngineRequestEnd>()
  readonly streamed = new Map<number, number[]>()

  constructor(
    options: EngineOptions,
    mock: MockRunnerOptions = {},
    hooks: Partial<EngineHooks> = {},
    drafting: DraftingParts = {},
  ) {
    this.runner = new MockRunner(options, mock)
    let time = 0
    this.engine = new EngineCore({
      options,
      runner: mock.instead?.(this.runner) ?? this.runner,
      vocabSize: MOCK_VOCAB_SIZE,
      now: () => time++,
      drafting,
      hooks: {
        onTokens: (id, ids) => {
          this.streamed.set(id, [...(this.streamed.get(id) ?? []), ...ids])
          return hooks.onTokens?.(id, ids)
        },
        onFinish: (end) => {
          this.ends.set(end.requestId, end)
          hooks.onFinish?.(end)
        },
        onStep: (record) => {
          this.records.push(record)
          hooks.onStep?.(record)
        },
      },
    })
  }

  /** Steps until nothing is left, checking blocks after each step. */
  async drain(maxSteps = 10_000): Promise<void> {
    for (let steps = 0; this.engine.hasWork(); steps++) {
      if (steps === maxSteps) throw new Error(`unfinished after ${maxSteps} steps`)
      await this.engine.step()
      this.engine.checkIntegrity()
    }
  }
}

export function realRows(record: StepRecord): number {
  return record.baseRows + record.draftRows + record.prefillRows
}
