/**
 * Starts a worker: one way after another until a worker answers, and whatever failed is terminated. It must never know what a
 * service does.
 */

import type { AssetUrls } from '../../protocol/connection.ts'
import { WeirError } from '../../protocol/errors.ts'
import type { WorkerOptions } from '../../protocol/options.ts'
import { aborted } from '../signal.ts'
import { assetsFolder, lazyAssets } from './assets.ts'
import { type Met, meet } from './attempt.ts'
import { type Way, waysTo } from './ways.ts'

/** A worker that is loaded at all says so in milliseconds; this is for slow networks. */
const LIMIT_MS = 10_000

export interface StartedWorker extends Met {
  readonly worker: Worker
  /** whether it is ours to terminate */
  readonly owned: boolean
}

/** Where a worker may come from, known before any is started. */
export interface WorkerSource {
  readonly ways: readonly Way[]
  readonly assets: AssetUrls
}

/**
 * Reads the options; nothing is started yet.
 * @throws INVALID_OPTION, and BACKEND_UNAVAILABLE where there are no workers
 */
export function workerSource({ worker, assets }: WorkerOptions): WorkerSource {
  const folder = assetsFolder(assets)
  if (!worker && typeof globalThis.Worker === 'undefined') {
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      'there is no Worker here, as in Node, in service workers and in shared ones: load the model in a page or in a ' +
        'dedicated worker of it; on a server only import the library',
    )
  }
  return { ways: waysTo(worker, folder), assets: lazyAssets(folder) }
}

const ADVICE =
  'Allow it in the page\'s Content-Security-Policy by "worker-src \'self\' blob:", and with Trusted Types by "trusted-types ' +
  'weir"; or serve the dist folder of the package and give its URL as option assets; or start a worker whose script imports ' +
  "'weir-llm/worker' and give it as option worker."

/** The way that was taken last. A page stays what it is, so that one is tried first. */
let latest: string | undefined

/**
 * @param limit milliseconds for one attempt
 * @throws BACKEND_UNAVAILABLE that lists what was tried; ABORTED
 */
export async function startWorker(
  { ways, assets }: WorkerSource,
  signal?: AbortSignal,
  limit = LIMIT_MS,
): Promise<StartedWorker> {
  const failures: string[] = []
  const latestFirst = [...ways].sort((a, b) => Number(b.name === latest) - Number(a.name === latest))
  for (const { name, owned, begin } of latestFirst) {
    let worker: Worker | undefined
    try {
      worker = await begin()
      const met = await meet(worker, { assets, limit, signal })
      latest = name
      return { ...met, worker, owned }
    } catch (thrown) {
      if (owned) worker?.terminate()
      if (signal?.aborted) throw aborted(signal)
      failures.push(`${name}: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
    }
  }
  throw unavailable(failures)
}

function unavailable(failures: readonly string[]): WeirError {
  const tried = failures.map((failure) => `\n- ${failure}`).join('')
  return new WeirError('BACKEND_UNAVAILABLE', `the worker could not be started:${tried}\n${ADVICE}`, {
    attempts: failures.length,
  })
}
