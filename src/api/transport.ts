/**
 * The service in a worker, called over a port. A service that is gone answers every call with the error that ended it, instead of
 * never. The only place of `api` that knows Comlink.
 */

import { type Endpoint, proxy, releaseProxy, wrap } from 'comlink'
import { WeirError } from '../protocol/errors.ts'
import type { Replay } from '../protocol/replay.ts'
import type { DeviceInfo, EngineStats, LlmService, LoadedEngine, MemoryPlan, Outcome } from '../protocol/service.ts'
import type { Link } from './link.ts'
import type { StartedWorker } from './worker/startWorker.ts'

/** The service in a worker that has answered. */
export function workerService({ worker, owned, port, lock }: StartedWorker): { service: LlmService; link: Link } {
  const closed = new AbortController()
  const { signal } = closed
  const lost = new Promise<WeirError>((resolve) => {
    const unreadable = () => resolve(new WeirError('INTERNAL', 'a message of the worker could not be read'))
    port.addEventListener('messageerror', unreadable, { signal })
    if (lock !== undefined) navigator.locks.request(lock, { signal }, () => resolve(ended())).catch(() => {})
    // What goes wrong in the page's own worker may be none of ours.
    if (!owned) return
    const failed = (event: ErrorEvent) => {
      event.preventDefault()
      resolve(new WeirError('INTERNAL', `the worker failed: ${event.message}`))
    }
    worker.addEventListener('error', failed, { signal })
  })
  const close = () => {
    closed.abort()
    port.close()
    if (owned) worker.terminate()
  }
  return { service: remoteService(port, lost), link: { lost, close } }
}

/** The device went with it. */
function ended(): WeirError {
  return new WeirError('DEVICE_LOST', 'the worker has ended: the page or the browser closed it; load the model again')
}

/** The service that is exposed at the other end of `endpoint`. Calls reject with what `lost` settles with. */
export function remoteService(endpoint: Endpoint, lost: Promise<WeirError>): LlmService {
  const remote = wrap<LlmService>(endpoint)
  const call = untilLost(lost)
  return {
    probe: (options) => call<Outcome<DeviceInfo>>(remote.probe(options)),
    plan: (modelUrl, options) => call<Outcome<MemoryPlan>>(remote.plan(modelUrl, options)),
    load: (modelUrl, options, listener) => call<Outcome<LoadedEngine>>(remote.load(modelUrl, options, proxy(listener))),
    submit: (id, prompt, fields) => call<Outcome<null>>(remote.submit(id, prompt, fields)),
    abort: (id) => call(remote.abort(id)),
    resetPrefixCache: () => call<Outcome<null>>(remote.resetPrefixCache()),
    stats: () => call<Outcome<EngineStats>>(remote.stats()),
    trace: () => call<Outcome<string>>(remote.trace()),
    replay: (trace) => call<Outcome<Replay>>(remote.replay(trace)),
    dispose: async () => {
      await call(remote.dispose())
      remote[releaseProxy]()
    },
  }
}

/** Wraps answers so that they reject once the other side is gone. (`Promise.race` would keep every answer alive.) */
function untilLost(lost: Promise<WeirError>): <T>(answer: Promise<T>) => Promise<T> {
  const pending = new Set<(error: WeirError) => void>()
  let gone: WeirError | undefined
  void lost.then((error) => {
    gone = error
    for (const reject of pending) reject(error)
    pending.clear()
  })
  return (answer) =>
    new Promise((resolve, reject) => {
      if (gone) reject(gone)
      pending.add(reject)
      void answer.then(resolve, reject).finally(() => pending.delete(reject))
    })
}
