/**
 * The ways to a worker, in the order in which they are tried: the page's own; the file, as bundlers know it or in the folder of
 * the page's choice; a Blob that imports a file of another origin, which no worker may be made of; a Blob of the whole worker. A
 * way only begins one: whether it answers is not its business.
 */

import type { WorkerOptions } from '../../protocol/options.ts'
import { assetUrl } from './assets.ts'
import { moduleWorker } from './moduleWorker.ts'

export interface Way {
  /** what is tried, in words */
  readonly name: string
  /** whether the worker is ours to terminate */
  readonly owned: boolean
  begin(): Worker | Promise<Worker>
}

/** @param folder where the page keeps the package's files; undefined: beside the library */
export function waysTo(own: WorkerOptions['worker'], folder: string | undefined): readonly Way[] {
  if (own) return [ownWorker(own)]
  const url = assetUrl('worker.js', folder)
  const file = folder === undefined ? bundledFile(url) : fileAt(url)
  return [file, ...(isElsewhere(url) ? [importing(url)] : []), INLINED]
}

function ownWorker(own: Worker | (() => Worker)): Way {
  const made = typeof own === 'function'
  return { name: 'option worker', owned: made, begin: () => (made ? own() : own) }
}

/** @param url where the file is if there is no bundler */
function bundledFile(url: string | undefined): Way {
  return {
    name: 'worker.js beside the library',
    owned: true,
    begin: () => {
      try {
        return new Worker(new URL('../../worker/main.ts', import.meta.url), { type: 'module', name: 'weir' })
      } catch (refused) {
        // Trusted Types take no plain URL, and bundlers know the line above in no other form.
        if (url === undefined || isElsewhere(url)) throw refused
        return moduleWorker(url)
      }
    },
  }
}

function fileAt(url: string | undefined): Way {
  return { name: `${url}`, owned: true, begin: () => moduleWorker(`${url}`) }
}

function importing(url: string): Way {
  return { name: `a Blob that imports ${url}`, owned: true, begin: () => blobWorker(`import ${JSON.stringify(url)}`) }
}

const INLINED: Way = {
  name: 'a Blob of the whole worker',
  owned: true,
  begin: async () => {
    const { workerText } = await import('./workerText.ts')
    if (workerText === undefined) throw new Error('this build of the library has no copy of it')
    return blobWorker(workerText)
  },
}

function blobWorker(text: string): Worker {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }))
  try {
    return moduleWorker(url)
  } finally {
    // The worker has it by now.
    URL.revokeObjectURL(url)
  }
}

/** Whether a file is one of another web origin. */
function isElsewhere(url: string | undefined): url is string {
  if (url === undefined) return false
  const { protocol, origin } = new URL(url)
  return /^https?:$/.test(protocol) && origin !== globalThis.origin
}
