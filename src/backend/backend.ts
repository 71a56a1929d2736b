/**
 * What a model runs on: the GPU, or the processor through ONNX Runtime. Loading, planning and serving go through these
 * interfaces alone. It must never know how a backend computes a step.
 */

import type { StepRunner } from '../core/stepRunner.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { WeightTensor } from '../models/weightNames.ts'
import type { BackendName, EngineOptions, Quantization } from '../protocol/engineOptions.ts'
import type { WeirError } from '../protocol/errors.ts'
import type { BackendOptions, LoadProgress } from '../protocol/options.ts'
import type { BackendDevice, MemoryPlan } from '../protocol/service.ts'
import type { WeightFormat, WeightRows } from '../weights/format.ts'

/** A tensor of the model in the engine's terms, whatever files hold it. */
export interface ModelTensor extends WeightTensor {
  /** of a matrix; vectors are f32 */
  readonly format: WeightFormat
}

/** Consecutive rows of a tensor, in order; a vector is one row. The bytes are the receiver's until its promise settles. */
export type RowSink = (tensor: ModelTensor, firstRow: number, rows: WeightRows) => void | Promise<void>

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined
  /** called at most a few hundred times, and last with loaded = total */
  readonly onProgress?: ((progress: Omit<LoadProgress, 'phase'>) => void) | undefined
}

/** A model's weights. What is there is known before any of it is fetched. */
export interface ModelWeights {
  readonly tensors: readonly ModelTensor[] // in the order of the files
  /**
   * Fetches tensors, one after another in the order given, and passes on their rows, a few megabytes at most at a time; the next rows
   * wait for the sink. The order of `tensors` is the fastest.
   * @throws MODEL_FETCH, MODEL_FORMAT, ABORTED, or what the sink throws
   */
  read(tensors: readonly ModelTensor[], sink: RowSink, options?: ReadOptions): Promise<void>
}

/** Defaults of the options that depend on the backend. */
export type BackendDefaults = Pick<EngineOptions, 'maxNumBatchedTokens' | 'kvCacheDtype'>

export interface Backend {
  readonly name: BackendName
  /** @throws BACKEND_UNAVAILABLE saying why and what to do */
  open(options: BackendOptions): Promise<OpenBackend>
  defaults(spec: ModelSpec): BackendDefaults
  /**
   * Every byte that `createRunner` will allocate.
   * @throws INVALID_OPTION for an option that this backend does not have; LIMIT_EXCEEDED for weights that it can never hold
   */
  plan(spec: ModelSpec, options: EngineOptions, tensors: readonly ModelTensor[], quantization: Quantization): MemoryPlan
}

/** A backend whose device is open. */
export interface OpenBackend {
  readonly device: BackendDevice
  /** resolves when the device is lost other than by `close` */
  readonly lost: Promise<WeirError>
  /** @throws LIMIT_EXCEEDED, OUT_OF_MEMORY, MODEL_FORMAT, MODEL_FETCH, ABORTED, DEVICE_LOST, after freeing what was allocated */
  createRunner(from: RunnerSource): Promise<BackendRunner>
  /** Gives the device back, after its runners were disposed of. */
  close(): void
}

export interface RunnerSource {
  readonly spec: ModelSpec
  readonly options: EngineOptions
  readonly weights: ModelWeights
  /** default 'none', as backends without any have it */
  readonly quantization?: Quantization | undefined
  /** token ids that drafts are limited to, ascending; only with `speculative.draftVocabSize` */
  readonly draftVocab?: readonly number[] | undefined
  /** milliseconds */
  readonly now: () => number
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** A runner with what `stats()` reports of it. */
export interface BackendRunner extends StepRunner {
  /** name of the chosen variant by operation */
  readonly kernels: Readonly<Record<string, string>>
  readonly batchInvariant: boolean
  readonly allocatedBytes: number
  dispose(): void
}
