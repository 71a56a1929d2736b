/** What a worker does at its start: a service over this thread's GPU for each page, or part of one, that connects. Nothing else. */

import { expose } from 'comlink'
import type { GpuOwner } from '../gpu/device.ts'
import { type AssetUrls, CONNECT, type ConnectMessage, READY, type ReadyMessage } from '../protocol/connection.ts'
import type { LazyModules } from './lazyModules.ts'
import type { Environment } from './loadModel.ts'
import { createService } from './service.ts'

const ENVIRONMENT: Environment & GpuOwner = {
  // A browser's getter may throw.
  get gpu() {
    return navigator.gpu
  },
  now: () => performance.now(),
}

/** @param modules loads a module from the URLs that the page has sent */
export function listen(modules: (assets: AssetUrls) => LazyModules): void {
  addEventListener('message', ({ data, ports: [port] }: MessageEvent<Partial<ConnectMessage> | null>) => {
    // A page's own worker may have messages of its own.
    if (data?.type !== CONNECT || !port) return
    const { assets = {}, lock } = data
    expose(createService(ENVIRONMENT, modules(assets)), port)
    hold(lock, (locked) => port.postMessage({ type: READY, locked } satisfies ReadyMessage))
  })
}

/** Holds a Web Lock for as long as this worker lives: it tells the page of its end. Not every page may have locks. */
function hold(lock: string | undefined, ready: (locked: boolean) => void): void {
  if (lock === undefined || !navigator.locks) {
    ready(false)
    return
  }
  const held = navigator.locks.request(lock, () => {
    ready(true)
    return new Promise(() => {})
  })
  held.catch(() => ready(false))
}
