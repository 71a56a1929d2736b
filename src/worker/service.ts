/**
 * The service behind the worker boundary: it loads one model and serves it until it is disposed of. Node tests and benches call
 * it directly. What goes wrong is an Outcome, so that error codes survive any transport. It must never know Comlink.
 */

import type { GpuOwner } from '../gpu/device.ts'
import { WeirError } from '../protocol/errors.ts'
import type { Replay } from '../protocol/replay.ts'
import type { Prompt, SamplingFields } from '../protocol/request.ts'
import type {
  DeviceInfo,
  EngineStats,
  LlmService,
  LoadedEngine,
  MemoryPlan,
  Outcome,
  ServiceListener,
  ServiceOptions,
} from '../protocol/service.ts'
import { gpuBackend } from '../runner/gpuBackend.ts'
import { assert } from '../util/math.ts'
import type { LazyModules, ReplayModule } from './lazyModules.ts'
import { type Environment, type ModelLoader, modelLoader } from './loadModel.ts'
import { outcome } from './outcome.ts'
import { Serving } from './serving.ts'

export function createService(environment: Environment & GpuOwner, modules: LazyModules): LlmService {
  const backends = { webgpu: async () => gpuBackend(environment), wasm: modules.wasm }
  return new Service(modelLoader(backends, environment), environment.now, modules.replay)
}

export class Service implements LlmService {
  readonly #loader: ModelLoader
  /** milliseconds */
  readonly #now: () => number
  readonly #replay: () => Promise<ReplayModule>
  #loading: AbortController | undefined
  #serving: Serving | undefined
  #disposed = false

  constructor(loader: ModelLoader, now: () => number, replay: () => Promise<ReplayModule>) {
    this.#loader = loader
    this.#now = now
    this.#replay = replay
  }

  probe(options: ServiceOptions): Promise<Outcome<DeviceInfo>> {
    return outcome(() => this.#loader.probe(options))
  }

  plan(modelUrl: string, options: ServiceOptions): Promise<Outcome<MemoryPlan>> {
    return outcome(() => this.#loader.plan(modelUrl, options))
  }

  load(modelUrl: string, options: ServiceOptions, listener: ServiceListener): Promise<Outcome<LoadedEngine>> {
    return outcome(() => this.#load(modelUrl, options, listener))
  }

  submit(id: number, prompt: Prompt, fields: SamplingFields): Promise<Outcome<null>> {
    return outcome(() => {
      this.#serve().submit(id, prompt, fields)
      return null
    })
  }

  async abort(id: number): Promise<void> {
    this.#serving?.abort(id)
  }

  resetPrefixCache(): Promise<Outcome<null>> {
    return outcome(() => {
      this.#serve().resetPrefixCache()
      return null
    })
  }

  stats(): Promise<Outcome<EngineStats>> {
    return outcome(() => this.#serve().stats())
  }

  trace(): Promise<Outcome<string>> {
    return outcome(() => this.#serve().trace())
  }

  async replay(trace: string): Promise<Outcome<Replay>> {
    const loaded = await outcome(this.#replay)
    return loaded.ok ? loaded.value.replay(trace) : loaded
  }

  async dispose(): Promise<void> {
    this.#disposed = true
    this.#loading?.abort()
    await this.#serving?.dispose()
  }

  async #load(modelUrl: string, options: ServiceOptions, listener: ServiceListener): Promise<LoadedEngine> {
    assert(!this.#loading && !this.#serving, 'a service loads one model')
    const loading = new AbortController()
    this.#loading = loading
    const model = await this.#loader.load(modelUrl, options, {
      signal: loading.signal,
      onProgress: (progress) => void listener.progress(progress),
    })
    if (this.#disposed) {
      model.dispose()
      throw new WeirError('ABORTED', 'the load was aborted')
    }
    this.#serving = new Serving(model, this.#now, listener)
    const { totalBytes } = model.info.memory
    // Awaited, so that the page hears of all progress before the load settles.
    await listener.progress({ phase: 'ready', file: '', loaded: totalBytes, total: totalBytes })
    return model.info
  }

  #serve(): Serving {
    if (this.#disposed) throw new WeirError('DISPOSED', 'the model was disposed of: load it again')
    assert(this.#serving, 'a model is loaded')
    return this.#serving
  }
}
