/**
 * The worker as text (`worker/whole.ts`), for pages that cannot load it as a file. A module of its own, so that only they load
 * it. The library's build puts the text in; from source there is none.
 */

declare const WORKER_TEXT: string | undefined

export const workerText: string | undefined = typeof WORKER_TEXT === 'string' ? WORKER_TEXT : undefined
