/**
 * Loads a model from its URL onto this thread's GPU: files, spec, options, memory plan, runner, tokenizer. Everything that can
 * be refused is refused before weights are fetched. It must never know requests.
 */

import type { StepRunner } from '../core/stepRunner.ts'
import { type Gpu, type GpuOwner, openDevice } from '../gpu/device.ts'
import { type ModelFiles, openModel } from '../loader/source.ts'
import {
  type GenerationDefaults,
  type ModelSpec,
  parseGenerationDefaults,
  parseModelSpec,
} from '../models/modelSpec.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import type { WeirError } from '../protocol/errors.ts'
import type { LoadProgress, LoadWarning } from '../protocol/options.ts'
import type { AdapterInfo, LoadedEngine, MemoryPlan, ModelInfo, ServiceOptions } from '../protocol/service.ts'
import { memoryPlan } from '../runner/bufferPlan.ts'
import { createGpuRunner } from '../runner/createGpuRunner.ts'
import { Tokenizer } from '../tokenizer/tokenizer.ts'
import { draftVocabulary } from './draftVocabulary.ts'
import { resolveOptions } from './engineOptions.ts'

/** A runner with the fields that `stats()` reports. */
export interface LoadedRunner extends StepRunner {
  readonly kernels: Readonly<Record<string, string>>
  readonly batchInvariant: boolean
  readonly allocatedBytes: number
}

/** Everything that serves one model. */
export interface LoadedModel {
  readonly info: LoadedEngine
  readonly spec: Pick<ModelSpec, 'vocabSize' | 'eosTokenIds'>
  readonly defaults: GenerationDefaults
  /** undefined: the model has none; prompts and outputs are then token ids only */
  readonly tokenizer: Tokenizer | undefined
  readonly runner: LoadedRunner
  /** settles when the device is lost other than by `dispose` */
  readonly lost: Promise<WeirError>
  dispose(): void
}

export const NO_TOKENIZER: LoadWarning = {
  code: 'NO_TOKENIZER',
  message:
    "the model's folder has no tokenizer.json: it takes and gives token ids alone, so pass { prompt_token_ids } for a prompt and " +
    'stop_token_ids for stop',
}

export interface LoadControl {
  readonly signal: AbortSignal
  readonly onProgress: (progress: LoadProgress) => void
}

/** Loads models onto the GPU, or stands in for it in tests. */
export interface ModelLoader {
  /** @throws BACKEND_UNAVAILABLE */
  probe(): Promise<AdapterInfo>
  /** @throws INVALID_OPTION, MODEL_FETCH, MODEL_FORMAT */
  plan(modelUrl: string, options: ServiceOptions): Promise<MemoryPlan>
  /** @throws as `probe` and `plan`, and LIMIT_EXCEEDED, OUT_OF_MEMORY, ABORTED, after freeing what was allocated */
  load(modelUrl: string, options: ServiceOptions, control: LoadControl): Promise<LoadedModel>
}

export interface Environment extends GpuOwner {
  /** milliseconds */
  readonly now: () => number
  /** default: the global one */
  readonly fetch?: typeof globalThis.fetch
}

export function gpuLoader(environment: Environment): ModelLoader {
  return {
    probe: async () => {
      const { adapter, device } = await openDevice(environment)
      device.destroy()
      return adapter
    },
    plan: async (modelUrl, options) => (await describeModel(modelUrl, options, environment)).memory,
    load: async (modelUrl, options, control) => {
      const gpu = await openDevice(environment)
      try {
        return await loadOnto(gpu, modelUrl, options, control, environment)
      } catch (thrown) {
        gpu.device.destroy()
        throw thrown
      }
    },
  }
}

async function loadOnto(
  gpu: Gpu,
  modelUrl: string,
  given: ServiceOptions,
  control: LoadControl,
  environment: Environment,
): Promise<LoadedModel> {
  const { signal, onProgress } = control
  const { files, spec, draftVocab, ...engine } = await describeModel(modelUrl, given, environment, signal)
  const tokenizer =
    files.tokenizer === undefined ? undefined : Tokenizer.fromFiles(files.tokenizer, files.tokenizerConfig)
  const { options } = engine
  const { now } = environment
  const runner = await createGpuRunner({
    gpu,
    spec,
    options,
    weights: files.weights,
    draftVocab,
    now,
    onProgress,
    signal,
  })
  return {
    info: { ...engine, adapter: gpu.adapter, warnings: tokenizer ? [] : [NO_TOKENIZER] },
    spec,
    defaults: parseGenerationDefaults(files.generationConfig, spec.vocabSize),
    tokenizer,
    runner,
    lost: gpu.lost,
    dispose: () => {
      runner.dispose()
      gpu.device.destroy()
    },
  }
}

interface ModelDescription extends Omit<LoadedEngine, 'adapter' | 'warnings'> {
  readonly files: ModelFiles
  readonly spec: ModelSpec
  /** ids of the draft vocabulary; undefined: all */
  readonly draftVocab: readonly number[] | undefined
}

/** Everything known from the model's JSON files and weight headers. */
async function describeModel(
  modelUrl: string,
  given: ServiceOptions,
  environment: Environment,
  signal?: AbortSignal,
): Promise<ModelDescription> {
  const files = await openModel(modelUrl, { signal, fetch: environment.fetch })
  const spec = parseModelSpec(files.config, files.generationConfig)
  const { vocabSize, maxPositions, mtp } = spec
  const resolved = resolveOptions(given, { drafter: mtp !== undefined, maxPositions })
  const draftVocab = await draftVocabulary(files, given.speculative, vocabSize)
  const options = withDraftVocab(resolved, draftVocab?.length)
  const memory = memoryPlan(spec, options, files.weights.tensors)
  return { files, spec, options, memory, draftVocab, model: modelInfo(files, spec) }
}

/** Sets `draftVocabSize` to the number of ids found: a file may set it alone. */
function withDraftVocab(options: EngineOptions, draftVocabSize: number | undefined): EngineOptions {
  const { speculative } = options
  return speculative?.method === 'mtp' ? { ...options, speculative: { ...speculative, draftVocabSize } } : options
}

function modelInfo(files: ModelFiles, spec: ModelSpec): ModelInfo {
  const shapes = [...files.weights.tensors.values()].map(({ shape }) => shape)
  return {
    name: new URL(files.url).pathname.split('/').filter(Boolean).at(-1) ?? files.url,
    architecture: spec.architecture,
    layers: spec.numLayers,
    hiddenSize: spec.hiddenSize,
    vocabSize: spec.vocabSize,
    parameters: shapes.reduce((sum, shape) => sum + shape.reduce((product, size) => product * size, 1), 0),
    maxPositions: spec.maxPositions,
    drafter: spec.mtp !== undefined,
  }
}
