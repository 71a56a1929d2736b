/**
 * The public class: a model in a worker of its own. Everything asynchronous that can fail rejects with a WeirError. It must
 * never know what a step is made of.
 */

import { WeirError } from '../protocol/errors.ts'
import type {
  BackendOptions,
  GenerateOptions,
  LoadedOptions,
  LoadOptions,
  PromptInput,
  WorkerOptions,
} from '../protocol/options.ts'
import type { Replay } from '../protocol/replay.ts'
import type { DeviceInfo, EngineStats, LlmService, LoadedEngine, MemoryPlan, ModelInfo } from '../protocol/service.ts'
import type { AsyncDisposal } from './asyncDisposal.ts'
import { bindMethods } from './bindMethods.ts'
import type { Generation } from './generation.ts'
import { IN_PROCESS, type Link } from './link.ts'
import { modelUrl } from './modelUrl.ts'
import { checkLoadOptions, readLoadOptions, readProbeOptions, readWorkerOptions } from './options.ts'
import { callBack, Session, unwrap, warn } from './session.ts'
import { aborted, untilAborted } from './signal.ts'
import { workerService } from './transport.ts'
import { startWorker, type WorkerSource, workerSource } from './worker/startWorker.ts'

export interface LLM extends AsyncDisposal {}

/** May be wrapped in a proxy, as Vue's `reactive` does: its methods know their object. */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the class has the method; who has the type depends on their TypeScript
export class LLM {
  readonly model: ModelInfo
  /** after defaults, checks and rounding */
  readonly options: LoadedOptions
  /** what the engine runs on, and why */
  readonly device: DeviceInfo
  /** every byte the engine holds on the device */
  readonly memory: MemoryPlan
  readonly #session: Session

  private constructor(engine: LoadedEngine, session: Session) {
    this.model = engine.model
    this.options = engine.options
    this.device = engine.device
    this.memory = engine.memory
    this.#session = session
    bindMethods(this)
  }

  /**
   * What `load` would run on: the GPU or the processor, and why.
   * @throws BACKEND_UNAVAILABLE saying why there is nothing and what to do; INVALID_OPTION
   */
  static async probe(options?: (WorkerOptions & BackendOptions) | null): Promise<DeviceInfo> {
    const given = readProbeOptions(options)
    const wanted = checkLoadOptions(given)
    return inWorker(workerSource(given), async (service) => unwrap(await service.probe(wanted)))
  }

  /**
   * The bytes that `load` would allocate with these options; fetches the model's config and headers only. The options' signal
   * aborts it.
   * @param model the folder of config.json and safetensors; relative to the document's base
   * @throws as `load`, without fetching weights: LIMIT_EXCEEDED for those that backend 'wasm' can never hold
   */
  static async plan(model: string | URL, options?: LoadOptions | null): Promise<MemoryPlan> {
    const given = readLoadOptions(options)
    const serviceOptions = checkLoadOptions(given)
    const source = workerSource(given)
    const url = modelUrl(model)
    const { signal } = given
    if (signal?.aborted) throw aborted(signal)
    return inWorker(
      source,
      async (service) => unwrap(await untilAborted(service.plan(url, serviceOptions), signal)),
      signal,
    )
  }

  /**
   * Makes every plan of a trace anew, in a worker of its own and without any GPU, and checks that each is byte for byte the one
   * that was traced.
   * @throws TRACE_FORMAT naming line and step, BACKEND_UNAVAILABLE
   */
  static async replay(trace: string, options?: WorkerOptions | null): Promise<Replay> {
    return inWorker(workerSource(readWorkerOptions(options)), async (service) => unwrap(await service.replay(trace)))
  }

  /**
   * Loads a model into a worker of its own, ready to generate.
   * @param model the folder of config.json, safetensors and tokenizer.json; relative to the document's base
   * @throws INVALID_OPTION, BACKEND_UNAVAILABLE, MODEL_FETCH, MODEL_FORMAT, LIMIT_EXCEEDED, OUT_OF_MEMORY, ABORTED
   */
  static async load(model: string | URL, options?: LoadOptions | null): Promise<LLM> {
    const given = readLoadOptions(options)
    checkLoadOptions(given)
    const source = workerSource(given)
    const url = modelUrl(model)
    if (given.signal?.aborted) throw aborted(given.signal)
    const { service, link } = workerService(await startWorker(source, given.signal))
    return LLM.connect(service, url, given, link)
  }

  /**
   * Loads a model into `service`, which is this LLM's own from then on; on failure the service is given up.
   * @param modelUrl absolute
   * @internal
   */
  static async connect(
    service: LlmService,
    modelUrl: string,
    options?: LoadOptions | null,
    link: Link = IN_PROCESS,
  ): Promise<LLM> {
    try {
      const given = readLoadOptions(options)
      const { signal, onProgress, onStep, onWarning } = given
      const session = new Session(service, link, onStep)
      const loading = service.load(modelUrl, checkLoadOptions(given), {
        progress: (progress) => callBack(onProgress, progress),
        step: (message) => session.deliver(message),
      })
      const engine = unwrap(await untilAborted(loading, signal))
      for (const warning of engine.warnings) warn(warning, onWarning)
      return new LLM(engine, session)
    } catch (thrown) {
      void service.dispose().catch(() => {})
      link.close()
      throw WeirError.from(thrown)
    }
  }

  /**
   * Starts a request at once; it runs together with all others. Iterate over the answer, await its `result()`, or both.
   * Errors, those of the request itself included, come from there and never from here. With `n` above 1 the parts of all samples
   * come as they are made, each with its index; they are aborted together, and an error of one ends them all.
   *
   * Two ways to end it early: leave the loop over it, and `result()` resolves with what there was and `finish_reason` 'abort'; or
   * abort the `signal`, and iteration and `result()` reject with ABORTED, what there was in the error's `partial`.
   * @param prompt a text, or token ids
   */
  generate(prompt: PromptInput, options?: GenerateOptions | null): Generation {
    return this.#session.generate(prompt, options)
  }

  stats(): Promise<EngineStats> {
    return this.#session.stats()
  }

  /** Forgets every cached prefix: later prompts are computed anew. Requests under way keep what they have. */
  resetPrefixCache(): Promise<void> {
    return this.#session.resetPrefixCache()
  }

  /**
   * Everything that led to the plans of all steps so far, prompts included, as JSON Lines; a step in flight is not in it. Also
   * there after a fatal error, until `dispose()`.
   * @throws INVALID_OPTION unless the model was loaded with `debug: { trace: true }`
   */
  trace(): Promise<string> {
    return this.#session.trace()
  }

  /** Ends every request with DISPOSED and frees the device and the worker. */
  dispose(): Promise<void> {
    return this.#session.dispose()
  }

  /** @internal its type is that of AsyncDisposal */
  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose()
  }
}

/** One question to a service that lives for it alone. */
async function inWorker<T>(
  source: WorkerSource,
  ask: (service: LlmService) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const { service, link } = workerService(await startWorker(source, signal))
  try {
    return await ask(service)
  } finally {
    link.close()
  }
}
