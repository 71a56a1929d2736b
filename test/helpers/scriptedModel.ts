/**
 * A model without a GPU for tests of the service and the API: the real tokenizer of fairy-tales, the real engine, and a runner
 * that says what its script says, with drafts that are right two times out of three.
 */

import { readFileSync } from 'node:fs'
import type { BackendRunner } from '../../src/backend/backend.ts'
import type { RequestOutput, StepOutput, StepPlan, TableWrite } from '../../src/core/stepPlan.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { DeviceInfo, ServiceOptions } from '../../src/protocol/service.ts'
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import { resolveOptions } from '../../src/worker/engineOptions.ts'
import { type LoadControl, type LoadedModel, type ModelLoader, NO_TOKENIZER } from '../../src/worker/loadModel.ts'
import { GPU_DEFAULTS } from './backendDefaults.ts'

export const MODEL_URL = 'http://models.test/fairy-tales/'
/** A folder without a model. */
export const MISSING_URL = 'http://models.test/nothing/'
/** A model whose files never finish arriving. */
export const ENDLESS_URL = 'http://models.test/endless/'

export const VOCAB_SIZE = 4096
export const EOS = 4093

const ADAPTER = { vendor: 'test', architecture: 'script', description: 'a script', software: true }
const DEVICE: DeviceInfo = { backend: 'webgpu', adapter: ADAPTER, reason: 'a test' }

function json(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`../../public/models/fairy-tales/${name}`, import.meta.url), 'utf8'))
}

export const tokenizer = Tokenizer.fromFiles(json('tokenizer.json'), json('tokenizer_config.json'))

/** The id of output token `index` of a request of the engine; NaN: its logits are not finite. */
export type Script = (requestId: number, index: number) => number

/** Every request says `text` and then ends. */
export function saying(text: string): Script {
  const ids = [...tokenizer.encode(text), EOS]
  return (_requestId, index) => ids[index] ?? EOS
}

/** Requests go on until something ends them, each in its own way. */
export const endless: Script = (requestId, index) => 100 + ((requestId * 31 + index * 7) % 3000)

export class ScriptedRunner implements BackendRunner {
  readonly kernels = { linear: 'scripted' }
  readonly batchInvariant = true
  readonly allocatedBytes = 1000
  /** the writes that filled the request table, in order */
  readonly tableWrites: TableWrite[] = []
  readonly #script: Script
  readonly #maxRows: number
  /** position of the first output token, by table row */
  readonly #firstOutput = new Map<number, number>()
  readonly #drafts = new Map<number, readonly number[]>()
  #gate: Promise<void> = Promise.resolve()
  #open: () => void = () => {}
  #fault: WeirError | undefined

  constructor(script: Script, maxRows: number) {
    this.#script = script
    this.#maxRows = maxRows
  }

  /** Lets no step finish until `resume` or `break`. */
  pause(): void {
    this.#gate = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  resume(): void {
    this.#open()
  }

  /** Fails the step in flight and those to come. */
  break(error: WeirError): void {
    this.#fault = error
    this.#open()
  }

  async submit(plan: StepPlan): Promise<StepOutput> {
    if (plan.rows > this.#maxRows) {
      const details = { rows: plan.rows, limit: this.#maxRows }
      throw new WeirError('BUDGET_EXCEEDED', `a step of ${plan.rows} rows, buffers of ${this.#maxRows}`, details)
    }
    await this.#gate
    if (this.#fault) throw this.#fault
    for (const write of plan.tableWrites) this.#firstOutput.set(write.tableRow, write.firstOutputPosition)
    this.tableWrites.push(...plan.tableWrites)
    const requests = plan.requests.map((request) => this.#answer(request))
    return { step: plan.step, encodedRows: plan.rows, requests, ms: { encode: 0, wait: 0 } }
  }

  #answer({ requestId, generation, tableRow, n, k, m, samples, firstPosition, ids }: StepPlan['requests'][number]) {
    const answer = { requestId, generation, accepted: 0, tokens: [], verified: [], proposed: [] }
    if (!samples) return answer satisfies RequestOutput
    const first = firstPosition + (ids ? n : 1) - (this.#firstOutput.get(tableRow) ?? 0)
    const verified = (this.#drafts.get(tableRow) ?? []).slice(0, k)
    const tokens: number[] = []
    do tokens.push(this.#script(requestId, first + tokens.length))
    while (tokens.length <= k && tokens.at(-1) === verified[tokens.length - 1])
    if (tokens.some(Number.isNaN)) return { ...answer, numericError: true } satisfies RequestOutput
    const next = first + tokens.length
    const proposed = Array.from({ length: m }, (_, j) => ((next + j) % 3 === 2 ? 0 : this.#script(requestId, next + j)))
    this.#drafts.set(tableRow, proposed)
    return { ...answer, accepted: tokens.length - 1, tokens, verified, proposed }
  }

  dispose(): void {
    this.break(new WeirError('DISPOSED', 'the engine was disposed'))
  }
}

/** Loads a scripted model; keeps what it made for tests to look at. */
export class MockLoader implements ModelLoader {
  /** of the latest load */
  runner: ScriptedRunner | undefined
  loads = 0
  disposed = 0
  aborted = 0
  readonly #script: Script
  #lose: (error: WeirError) => void = () => {}

  constructor(script: Script = endless) {
    this.#script = script
  }

  /** The device of the latest load goes away. */
  lose(): void {
    this.#lose(new WeirError('DEVICE_LOST', 'the GPU device was lost'))
  }

  async probe() {
    return DEVICE
  }

  async plan(modelUrl: string, options: ServiceOptions) {
    await open(modelUrl)
    resolveOptions(options, { drafter: true, maxPositions: 2048 }, GPU_DEFAULTS)
    return { totalBytes: 1000, weightBytes: 600, kvCacheBytes: 300, workspaceBytes: 100, buffers: [] }
  }

  async load(modelUrl: string, given: ServiceOptions, { signal, onProgress }: LoadControl): Promise<LoadedModel> {
    signal.addEventListener('abort', () => {
      this.aborted += 1
    })
    await open(modelUrl, signal)
    this.loads += 1
    const options = resolveOptions(given, { drafter: true, maxPositions: 2048 }, GPU_DEFAULTS)
    onProgress({ phase: 'fetch', file: 'model.safetensors', loaded: 600, total: 600 })
    const runner = new ScriptedRunner(this.#script, options.maxNumBatchedTokens)
    this.runner = runner
    return {
      info: {
        model: {
          name: 'fairy-tales',
          architecture: 'Script',
          layers: 1,
          hiddenSize: 4,
          vocabSize: VOCAB_SIZE,
          parameters: 1,
          maxPositions: 2048,
          drafter: true,
        },
        options: { ...options, backend: 'webgpu', quantization: 'none' },
        device: DEVICE,
        memory: await this.plan(modelUrl, given),
        warnings: modelUrl.endsWith('?ids') ? [NO_TOKENIZER] : [],
      },
      options,
      spec: { vocabSize: VOCAB_SIZE, eosTokenIds: [EOS] },
      defaults: { sampling: { temperature: 0.8, top_k: 50, top_p: 0.95 }, eosTokenIds: [EOS] },
      tokenizer: modelUrl.endsWith('?ids') ? undefined : tokenizer,
      runner,
      lost: new Promise((resolve) => {
        this.#lose = resolve
      }),
      dispose: () => {
        this.disposed += 1
        runner.dispose()
      },
    }
  }
}

async function open(modelUrl: string, signal?: AbortSignal): Promise<void> {
  if (modelUrl === MISSING_URL)
    throw new WeirError('MODEL_FETCH', `cannot fetch ${modelUrl}: HTTP 404`, { status: 404 })
  if (modelUrl !== ENDLESS_URL) return
  await new Promise((_, reject) => {
    signal?.addEventListener('abort', () => reject(new WeirError('ABORTED', 'the load was aborted')))
  })
}
