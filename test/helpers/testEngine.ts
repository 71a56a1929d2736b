/** The real engine on the backend under test, driven by token ids: what golden, invariance and budget tests run. */

import type { BackendRunner, RunnerSource } from '../../src/backend/backend.ts'
import { totalBlocks } from '../../src/core/cost.ts'
import { GREEDY, type SamplingParams } from '../../src/core/samplingParams.ts'
import type { DraftingParts } from '../../src/core/speculation/speculation.ts'
import { EngineCore } from '../../src/engine/engineCore.ts'
import type { EngineRequestEnd } from '../../src/engine/engineTypes.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import type { EngineOptions, Quantization } from '../../src/protocol/engineOptions.ts'
import type { StepRecord } from '../../src/protocol/stepRecord.ts'
import type { ModelName } from './folderFetch.ts'
import { openTestModel } from './openTestModel.ts'
import { createRunner, KV_DTYPE } from './testBackend.ts'

export interface TestRequest {
  readonly prompt: readonly number[]
  readonly maxTokens: number
  readonly sampling?: Partial<SamplingParams>
  readonly eosTokenIds?: readonly number[]
  /** with `schedulingPolicy: 'priority'` */
  readonly priority?: number
  readonly cacheSalt?: string
}

export type EngineOverrides = Partial<EngineOptions> &
  DraftingParts & {
    /** of the model's own drafter, always so many */
    readonly drafts?: number | undefined
    /** the ids that they come from, ascending; default: all */
    readonly draftVocab?: readonly number[]
    readonly quantization?: Quantization
  }

/** Options for small models; `drafts` undefined: `speculative` unset. */
export function engineOptions(given: EngineOverrides = {}): EngineOptions {
  const { drafts, draftVocab, quantization: _, proposer: __, policy: ___, ...overrides } = given
  const mtp = { method: 'mtp', adaptive: false, draftVocabSize: draftVocab?.length } as const
  return {
    maxNumBatchedTokens: 64,
    maxNumSeqs: 16,
    maxModelLen: 256,
    kvCacheTokens: 4096,
    speculative: drafts === undefined ? undefined : { ...mtp, numSpeculativeTokens: drafts },
    budgetPolicy: 'exact',
    kvCacheDtype: KV_DTYPE,
    enablePrefixCaching: true,
    longPrefillTokenThreshold: 0,
    maxNumPartialPrefills: 0,
    schedulingPolicy: 'fcfs',
    priorityAgingTokens: 1024,
    watermark: 0,
    penalties: true,
    debug: { logits: 'digest', steps: true, trace: false },
    ...overrides,
  }
}

/** Makes the engine's runner. */
export type EngineCreate = (from: RunnerSource) => Promise<BackendRunner>

export class TestEngine {
  readonly spec: ModelSpec
  readonly options: EngineOptions
  readonly runner: BackendRunner
  readonly core: EngineCore
  readonly records: StepRecord[] = []
  readonly ends = new Map<number, EngineRequestEnd>()
  #nextId = 0

  private constructor(spec: ModelSpec, options: EngineOptions, runner: BackendRunner, drafting: DraftingParts) {
    this.spec = spec
    this.options = options
    this.runner = runner
    this.core = new EngineCore({
      options,
      runner,
      vocabSize: spec.vocabSize,
      now: () => performance.now(),
      drafting,
      hooks: {
        onTokens: () => undefined,
        onFinish: (end) => this.ends.set(end.requestId, end),
        onStep: (record) => this.records.push(record),
      },
    })
  }

  /** @param create default: a runner of the backend under test */
  static async open(
    model: ModelName,
    overrides: EngineOverrides = {},
    create: EngineCreate = createRunner,
  ): Promise<TestEngine> {
    const { spec, weights } = await openTestModel(model, overrides.quantization)
    const options = engineOptions(overrides)
    const { draftVocab, quantization, proposer, policy } = overrides
    const now = () => performance.now()
    const runner = await create({ spec, options, weights, quantization, draftVocab, now })
    return new TestEngine(spec, options, runner, { proposer, policy })
  }

  add(request: TestRequest): number {
    const id = this.#nextId++
    this.core.add({
      id,
      promptTokenIds: request.prompt,
      maxTokens: request.maxTokens,
      sampling: { ...GREEDY, ...request.sampling },
      stopTokenIds: [],
      eosTokenIds: request.eosTokenIds ?? [],
      ignoreEos: request.eosTokenIds === undefined,
      priority: request.priority ?? 0,
      cacheSalt: request.cacheSalt,
      debug: { logits: this.options.debug.logits !== 'off', steps: this.options.debug.steps },
    })
    return id
  }

  async drain(): Promise<void> {
    while (this.core.hasWork()) await this.core.step()
  }

  /** Runs requests together to their ends, in the order given. */
  async run(requests: readonly TestRequest[]): Promise<EngineRequestEnd[]> {
    const ids = requests.map((request) => this.add(request))
    await this.drain()
    return ids.map((id) => {
      const end = this.ends.get(id)
      if (!end) throw new Error(`request ${id} did not end`)
      if (end.error) throw end.error
      return end
    })
  }

  get totalBlocks(): number {
    return totalBlocks(this.options)
  }

  dispose(): void {
    this.runner.dispose()
  }
}

/** Opens an engine, uses it, disposes of it. */
export async function withEngine<T>(
  model: ModelName,
  overrides: EngineOverrides,
  use: (engine: TestEngine) => Promise<T>,
  create?: EngineCreate,
): Promise<T> {
  const engine = await TestEngine.open(model, overrides, create)
  try {
    return await use(engine)
  } finally {
    engine.dispose()
  }
}
