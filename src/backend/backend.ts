/**
 * What a model runs on: the GPU, or the processor through ONNX Runtime. Loading, planning and serving go through these
 * interfaces alone. It must never know how a backend computes a step.
 */

import type { StepRunner } from '../core/stepRunner.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { TensorHeader } from '../models/weightNames.ts'
import type { BackendName, EngineOptions, Quantization } from '../protocol/engineOptions.ts'
import type { WeirError } from '../protocol/errors.ts'
import type { BackendOptions, LoadProgress } from '../protocol/options.ts'
import type { BackendDevice, MemoryPlan } from '../protocol/service.ts'

/** Headers of a model's tensors, by name. */
export type TensorHeaders = ReadonlyMap<string, TensorHeader>

/** Yields a model's tensors in any order. */
export interface WeightStream {
  readonly tensors: TensorHeaders
  readonly totalBytes: number
  stream(
    onTensor: (info: TensorHeader & { readonly name: string }, data: Uint8Array) => void | Promise<void>,
    options: {
      readonly signal?: AbortSignal | undefined
      readonly onProgress?: (progress: Omit<LoadProgress, 'phase'>) => void
    },
  ): Promise<void>
}

/** Defaults of the options that depend on the backend. */
export type BackendDefaults = Pick<EngineOptions, 'maxNumBatchedTokens' | 'kvCacheDtype'>

export interface Backend {
  readonly name: BackendName
  /** @throws BACKEND_UNAVAILABLE saying why and what to do */
  open(options: BackendOptions): Promise<OpenBackend>
  defaults(spec: ModelSpec, tensors: TensorHeaders): BackendDefaults
  /**
   * Every byte that `createRunner` will allocate.
   * @throws INVALID_OPTION for an option that this backend does not have
   */
  plan(spec: ModelSpec, options: EngineOptions, tensors: TensorHeaders, quantization: Quantization): MemoryPlan
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
  readonly weights: WeightStream
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
