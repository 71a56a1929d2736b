/** An LLM over a service in this process, directly or through Comlink over a message channel, as a worker would have it. */

import { expose } from 'comlink'
import { IN_PROCESS, type Link } from '../../src/api/link.ts'
import { LLM } from '../../src/api/llm.ts'
import { remoteService } from '../../src/api/transport.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { LoadOptions } from '../../src/protocol/options.ts'
import type { LlmService } from '../../src/protocol/service.ts'
import type { ModelLoader } from '../../src/worker/loadModel.ts'
import { Service } from '../../src/worker/service.ts'
import { LAZY_MODULES } from './lazyModules.ts'
import { MODEL_URL } from './scriptedModel.ts'

export interface Way {
  readonly service: LlmService
  readonly link: Link
  /** the other side dies, as a worker may */
  readonly crash: () => void
  readonly closed: () => boolean
}

function direct(loader: ModelLoader): Way {
  let closed = false
  let lose: (error: WeirError) => void = () => {}
  const lost = new Promise<WeirError>((resolve) => {
    lose = resolve
  })
  return {
    service: new Service(loader, () => performance.now(), LAZY_MODULES.replay),
    link: {
      ...IN_PROCESS,
      lost,
      close: () => {
        closed = true
      },
    },
    crash: () => lose(new WeirError('INTERNAL', 'the worker failed: a test')),
    closed: () => closed,
  }
}

function overChannel(loader: ModelLoader): Way {
  const { port1, port2 } = new MessageChannel()
  const { service, link, crash, closed } = direct(loader)
  expose(service, port1)
  return {
    service: remoteService(port2, link.lost),
    link: {
      lost: link.lost,
      close: () => {
        link.close()
        port1.close()
        port2.close()
      },
    },
    crash: () => {
      port1.close()
      crash()
    },
    closed,
  }
}

export const WAYS: readonly (readonly [string, (loader: ModelLoader) => Way])[] = [
  ['in process', direct],
  ['over a message channel', overChannel],
]

export function connect(way: Way, options: LoadOptions | null = {}, modelUrl = MODEL_URL): Promise<LLM> {
  return LLM.connect(way.service, modelUrl, options, way.link)
}

/** The error that `promise` rejects with. */
export async function errorOf(promise: Promise<unknown>): Promise<WeirError> {
  try {
    await promise
  } catch (thrown) {
    if (thrown instanceof WeirError) return thrown
    throw thrown
  }
  throw new Error('it did not reject')
}
