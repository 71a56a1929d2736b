/** What crosses the worker boundary: the service's calls and the one message per engine step. Plain data, no behaviour. */

import type { ErrorData } from './errors.ts'
import type { BackendName, LoadedOptions, LoadOptions, LoadProgress, LoadWarning, WorkerOptions } from './options.ts'
import type { Replay } from './replay.ts'
import type { GenerationPart, Prompt, RequestDebug, SamplingFields, Usage } from './request.ts'
import type { SpeculationStats } from './speculation.ts'
import type { StepRecord } from './stepRecord.ts'

/** Load options that can be cloned and concern the service: all but callbacks, signal and where the worker comes from. */
export type ServiceOptions = Omit<LoadOptions, 'onProgress' | 'onStep' | 'onWarning' | 'signal' | keyof WorkerOptions>

export interface AdapterInfo {
  readonly vendor: string
  readonly architecture: string
  readonly description: string
  /** a CPU that pretends to be a GPU */
  readonly software: boolean
}

/** What a backend runs on. */
export type BackendDevice =
  | { readonly backend: Extract<BackendName, 'webgpu'>; readonly adapter: AdapterInfo }
  | { readonly backend: Extract<BackendName, 'wasm'>; readonly threads: number }

/** What an engine runs on. */
export type DeviceInfo = BackendDevice & {
  /** why it runs on this backend */
  readonly reason: string
}

export interface ModelInfo {
  /** last part of the model's URL */
  readonly name: string
  readonly architecture: string
  readonly layers: number
  readonly hiddenSize: number
  readonly vocabSize: number
  readonly parameters: number
  readonly maxPositions: number
  /** whether it has a multi-token-prediction head */
  readonly drafter: boolean
}

/** Every byte the engine will allocate, known before any weight is fetched. */
export interface MemoryPlan {
  readonly totalBytes: number
  readonly weightBytes: number
  readonly kvCacheBytes: number
  /** everything sized by B, R, S or V */
  readonly workspaceBytes: number
  readonly buffers: readonly { readonly name: string; readonly bytes: number }[]
}

export interface LoadedEngine {
  readonly model: ModelInfo
  /** after defaults, checks and rounding */
  readonly options: LoadedOptions
  readonly device: DeviceInfo
  readonly memory: MemoryPlan
  readonly warnings: readonly LoadWarning[]
}

/** Milliseconds, over the latest values; all 0 when `count` is 0. */
export interface LatencySummary {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p95: number
  readonly max: number
}

/** Over the steps of the last seconds. */
export interface ThroughputSummary {
  readonly steps: number
  readonly tokensPerSecond: number
  readonly stepsPerSecond: number
  /** committed tokens, mean */
  readonly tokensPerStep: number
  /** real rows, mean */
  readonly rowsPerStep: number
  /** real rows over the limit, mean over steps; above 1 where a policy miscounts */
  readonly budgetUse: number
  /** accepted over verified drafts; 0 without drafts */
  readonly acceptance: number
}

export interface EngineStats {
  readonly steps: number
  /** samples: a generation counts as `n` */
  readonly running: number
  readonly waiting: number
  readonly committedTokens: number
  readonly preemptions: number
  /** all counts 0, and no positions, without speculation */
  readonly speculation: SpeculationStats
  /** from the request to its first token */
  readonly timeToFirstToken: LatencySummary
  /** between two tokens of a request */
  readonly interToken: LatencySummary
  readonly window: ThroughputSummary
  /**
   * One entry per KV block: the id of the generation that holds it, or `FREE_BLOCK`, `CACHED_BLOCK` (free, with a prefix that a
   * later request may take up), `SHARED_BLOCK` (several samples read it).
   */
  readonly blockOwners: Int32Array
  readonly device: DeviceInfo
  readonly plannedBytes: number
  /** measured; on `wasm` with ONNX Runtime's memory, of which the plan has an estimate */
  readonly allocatedBytes: number
  /** the variant chosen for each kernel that has several */
  readonly kernels: Readonly<Record<string, string>>
  /** results do not depend on the batch, as the self-check at load found on this device */
  readonly batchInvariant: boolean
}

/** What holds for all samples of a generation, known when the last of them has ended. */
export interface GenerationEnd {
  readonly seed: number
  readonly usage: Usage
}

/** What one step brought to one sample. */
export interface SampleUpdate extends Omit<GenerationPart, 'usage'> {
  /** of the generation, as the caller chose it */
  readonly id: number
  /** at the sample's end */
  readonly debug?: RequestDebug
  /** at the end of the generation's last sample */
  readonly end?: GenerationEnd
  /** ends the generation with all its samples: what follows of them does not count */
  readonly error?: ErrorData
}

/** The one message of an engine step. `record` is missing when requests end outside a step (abort, fatal error). */
export interface StepMessage {
  readonly record?: StepRecord
  readonly updates: readonly SampleUpdate[]
}

/** Calls arrive in order; across a worker boundary they are promises that settle once the page has seen them. */
export interface ServiceListener {
  progress(progress: LoadProgress): void | Promise<void>
  step(message: StepMessage): void | Promise<void>
}

/** A value or an error that keeps its code: Comlink would lose it. */
export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: ErrorData }

/** What the worker exposes. Request ids are chosen by the caller, so that no answer is waited for before streaming. */
export interface LlmService {
  /** What `load` would run on; BACKEND_UNAVAILABLE says why there is nothing. */
  probe(options: ServiceOptions): Promise<Outcome<DeviceInfo>>
  /** The bytes `load` would allocate; fetches config and weight headers only. */
  plan(modelUrl: string, options: ServiceOptions): Promise<Outcome<MemoryPlan>>
  load(modelUrl: string, options: ServiceOptions, listener: ServiceListener): Promise<Outcome<LoadedEngine>>
  /** Adds a request. A refusal is an error here; what happens later comes in step messages. */
  submit(id: number, prompt: Prompt, fields: SamplingFields): Promise<Outcome<null>>
  /** Ends all samples of a request with what they have. */
  abort(id: number): Promise<void>
  /** Forgets every cached prefix; requests go on with the blocks they hold. */
  resetPrefixCache(): Promise<Outcome<null>>
  stats(): Promise<Outcome<EngineStats>>
  /** What led to every plan so far; INVALID_OPTION unless the engine was loaded with `debug.trace`. */
  trace(): Promise<Outcome<string>>
  /** Makes every plan of a trace anew; needs no model, and touches none that is loaded. TRACE_FORMAT says what is wrong. */
  replay(trace: string): Promise<Outcome<Replay>>
  /** Ends whatever is going on, for good: a load in progress settles with ABORTED, requests end with DISPOSED. */
  dispose(): Promise<void>
}
