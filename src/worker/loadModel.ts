/**
 * Loads a model from its URL onto a backend: files, spec, options, memory plan, runner, tokenizer. Everything that can be refused
 * is refused before weights are fetched. It must never know requests.
 */

import type { Backend, BackendRunner, ModelWeights } from '../backend/backend.ts'
import { type Backends, type ChosenBackend, chooseBackend, chooseToPlan } from '../backend/chooseBackend.ts'
import { type ModelFiles, openModel } from '../loader/source.ts'
import { eosTokens, type GenerationDefaults, parseGenerationDefaults } from '../models/generationDefaults.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { parseModelSpec } from '../models/readConfig.ts'
import type { EngineOptions, Quantization } from '../protocol/engineOptions.ts'
import type { WeirError } from '../protocol/errors.ts'
import type { LoadProgress, LoadWarning } from '../protocol/options.ts'
import type { DeviceInfo, LoadedEngine, MemoryPlan, ModelInfo, ServiceOptions } from '../protocol/service.ts'
import { Tokenizer } from '../tokenizer/tokenizer.ts'
import { draftVocabulary } from './draftVocabulary.ts'
import { resolveOptions } from './engineOptions.ts'
import { openWeights } from './openWeights.ts'

/** Everything that serves one model. */
export interface LoadedModel {
  readonly info: LoadedEngine
  /** of the engine */
  readonly options: EngineOptions
  readonly spec: Pick<ModelSpec, 'vocabSize' | 'eosTokenIds'>
  readonly defaults: GenerationDefaults
  /** undefined: the model has none; prompts and outputs are then token ids only */
  readonly tokenizer: Tokenizer | undefined
  readonly runner: BackendRunner
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

/** Loads models, or stands in for it in tests. */
export interface ModelLoader {
  /** @throws BACKEND_UNAVAILABLE */
  probe(options: ServiceOptions): Promise<DeviceInfo>
  /** @throws INVALID_OPTION, MODEL_FETCH, MODEL_FORMAT, LIMIT_EXCEEDED (weights that the backend can never hold) */
  plan(modelUrl: string, options: ServiceOptions): Promise<MemoryPlan>
  /** @throws as `probe` and `plan`, and OUT_OF_MEMORY, ABORTED, after freeing what was allocated */
  load(modelUrl: string, options: ServiceOptions, control: LoadControl): Promise<LoadedModel>
}

export interface Environment {
  /** milliseconds */
  readonly now: () => number
  /** default: the global one */
  readonly fetch?: typeof globalThis.fetch
}

/** Loads models onto the backend that the options ask for. */
export function modelLoader(backends: Backends, environment: Environment): ModelLoader {
  return {
    probe: async (options) => {
      const { info, close } = await chooseBackend(backends, options)
      close()
      return info
    },
    plan: async (modelUrl, options) => {
      const backend = await chooseToPlan(backends, options)
      return (await describeModel(backend, modelUrl, options, environment)).memory
    },
    load: async (modelUrl, options, control) => {
      const chosen = await chooseBackend(backends, options)
      try {
        return await loadOnto(chosen, modelUrl, options, control, environment)
      } catch (thrown) {
        chosen.close()
        throw thrown
      }
    },
  }
}

async function loadOnto(
  chosen: ChosenBackend,
  modelUrl: string,
  given: ServiceOptions,
  control: LoadControl,
  environment: Environment,
): Promise<LoadedModel> {
  const { signal, onProgress } = control
  const { backend, info, lost, createRunner, close } = chosen
  const described = await describeModel(backend, modelUrl, given, environment, signal)
  const { files, weights, options, quantization, draftVocab, model, memory } = described
  const tokenizer =
    files.tokenizer === undefined ? undefined : Tokenizer.fromFiles(files.tokenizer, files.tokenizerConfig)
  const spec = withEndTokens(described.spec, files.tokenizerConfig, tokenizer)
  const { now } = environment
  const runner = await createRunner({ spec, options, weights, quantization, draftVocab, now, onProgress, signal })
  return {
    info: {
      model,
      memory,
      options: { ...options, backend: backend.name, quantization },
      device: info,
      warnings: tokenizer ? [] : [NO_TOKENIZER],
    },
    options,
    spec,
    defaults: parseGenerationDefaults(files.generationConfig, spec.vocabSize),
    tokenizer,
    runner,
    lost,
    dispose: () => {
      runner.dispose()
      close()
    },
  }
}

/** Some models name the token that ends a text in tokenizer_config.json alone. */
function withEndTokens(spec: ModelSpec, tokenizerConfig: unknown, tokenizer: Tokenizer | undefined): ModelSpec {
  const ids = eosTokens(tokenizerConfig).flatMap((token) => {
    const id = tokenizer?.idOf(token)
    return id === undefined || id >= spec.vocabSize ? [] : [id]
  })
  return { ...spec, eosTokenIds: [...new Set([...spec.eosTokenIds, ...ids])] }
}

interface ModelDescription {
  readonly model: ModelInfo
  readonly memory: MemoryPlan
  readonly options: EngineOptions
  readonly quantization: Quantization
  readonly files: ModelFiles
  readonly spec: ModelSpec
  readonly weights: ModelWeights
  /** ids of the draft vocabulary; undefined: all */
  readonly draftVocab: readonly number[] | undefined
}

/** Everything known from the model's JSON files and weight headers. */
async function describeModel(
  backend: Backend,
  modelUrl: string,
  given: ServiceOptions,
  environment: Environment,
  signal?: AbortSignal,
): Promise<ModelDescription> {
  const files = await openModel(modelUrl, { signal, fetch: environment.fetch })
  const spec = parseModelSpec(files.config, files.generationConfig)
  const { vocabSize, maxPositions, mtp } = spec
  const { quantization = 'none' } = given
  const weights = openWeights(files, spec, quantization)
  const defaults = backend.defaults(spec)
  const resolved = resolveOptions(given, { drafter: mtp !== undefined, maxPositions }, defaults)
  const draftVocab = await draftVocabulary(files, given.speculative, vocabSize)
  const options = withDraftVocab(resolved, draftVocab?.length)
  const memory = backend.plan(spec, options, weights.tensors, quantization)
  const model = modelInfo(files.url, spec, weights)
  return { files, spec, weights, options, quantization, memory, draftVocab, model }
}

/** Sets `draftVocabSize` to the number of ids found: a file may set it alone. */
function withDraftVocab(options: EngineOptions, draftVocabSize: number | undefined): EngineOptions {
  const { speculative } = options
  return speculative?.method === 'mtp' ? { ...options, speculative: { ...speculative, draftVocabSize } } : options
}

function modelInfo(url: string, spec: ModelSpec, { tensors }: ModelWeights): ModelInfo {
  return {
    name: new URL(url).pathname.split('/').filter(Boolean).at(-1) ?? url,
    architecture: spec.architecture,
    layers: spec.numLayers,
    hiddenSize: spec.hiddenSize,
    vocabSize: spec.vocabSize,
    parameters: tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
    maxPositions: spec.maxPositions,
    drafter: spec.mtp !== undefined,
  }
}
