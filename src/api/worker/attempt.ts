/**
 * Meets one worker: it answers, or something says why it does not. A missing script, a wrong type and a policy are one bare
 * event; a script that never ends is silence. It must never know how the worker was made.
 */

import { type AssetUrls, CONNECT, type ConnectMessage, READY, type ReadyMessage } from '../../protocol/connection.ts'
import { aborted } from '../signal.ts'

export interface Meeting {
  readonly assets: AssetUrls
  /** milliseconds */
  readonly limit: number
  readonly signal: AbortSignal | undefined
}

export interface Met {
  /** at its other end a service listens */
  readonly port: MessagePort
  /** the Web Lock that the worker holds for as long as it lives; undefined where there are none */
  readonly lock: string | undefined
}

/**
 * @throws an Error that says why there is none; ABORTED
 */
export async function meet(worker: Worker, meeting: Meeting): Promise<Met> {
  const { assets, limit, signal } = meeting
  const lock = `weir ${crypto.getRandomValues(new Uint32Array(4)).join('-')}`
  const { port1, port2 } = new MessageChannel()
  const over = new AbortController()
  const listening = { signal: over.signal }
  let timer: ReturnType<typeof setTimeout> | undefined
  let violation = ''
  try {
    const { locked } = await new Promise<ReadyMessage>((resolve, reject) => {
      if (signal?.aborted) throw aborted(signal)
      signal?.addEventListener('abort', () => reject(aborted(signal)), listening)
      // A policy's word comes before the worker's event.
      globalThis.addEventListener?.(
        'securitypolicyviolation',
        ({ effectiveDirective }) => {
          if (effectiveDirective === 'worker-src')
            violation = "the page's Content-Security-Policy forbids it (worker-src)"
        },
        listening,
      )
      worker.addEventListener(
        'error',
        (event) => {
          event.preventDefault()
          // Only what a script throws has a message.
          reject(new Error(event.message || violation || 'it could not be loaded'))
        },
        listening,
      )
      port1.addEventListener('message', ({ data }) => data?.type === READY && resolve(data), listening)
      timer = setTimeout(() => reject(new Error(`no answer within ${limit / 1000} s`)), limit)
      port1.start()
      worker.postMessage({ type: CONNECT, assets, lock } satisfies ConnectMessage, [port2])
    })
    return { port: port1, lock: locked ? lock : undefined }
  } catch (thrown) {
    port1.close()
    throw thrown
  } finally {
    clearTimeout(timer)
    over.abort()
  }
}
