/** The worker: a service over this thread's GPU for each page, or part of one, that connects. Nothing else. */

import { expose } from 'comlink'
import { CONNECT, type ConnectMessage, READY, type ReadyMessage } from '../protocol/connection.ts'
import type { Environment } from './loadModel.ts'
import { createService } from './service.ts'

const ENVIRONMENT: Environment = {
  // A browser may throw where WebGPU is forbidden.
  get gpu() {
    return navigator.gpu
  },
  now: () => performance.now(),
}

addEventListener('message', ({ data, ports: [port] }: MessageEvent<Partial<ConnectMessage> | null>) => {
  // A page's own worker may have messages of its own.
  if (data?.type !== CONNECT || !port) return
  expose(createService(ENVIRONMENT, data.assets), port)
  hold(data.lock, (locked) => port.postMessage({ type: READY, locked } satisfies ReadyMessage))
})

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
