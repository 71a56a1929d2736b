/** The worker: a service over this thread's GPU, exposed to the page that started it. Nothing else. */

import { expose } from 'comlink'
import { createService } from './service.ts'

expose(
  createService({
    get gpu() {
      return navigator.gpu
    },
    now: () => performance.now(),
  }),
)
