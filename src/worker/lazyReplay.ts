/**
 * The module of `LLM.replay`, loaded when it is asked for, by the absolute URL that the page has sent: a worker made of a Blob has
 * no place that relative ones could count from.
 */

import { WeirError } from '../protocol/errors.ts'

export type ReplayModule = typeof import('./replay.ts')

/** @throws BACKEND_UNAVAILABLE */
export async function loadReplay(url: string | undefined): Promise<ReplayModule> {
  try {
    if (url === undefined) throw new Error('the bundler has left it no URL')
    // Known at run time only: bundlers must leave it alone.
    return await import(/* @vite-ignore */ /* webpackIgnore: true */ /* turbopackIgnore: true */ url)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      `replay.js could not be loaded (${reason}): serve the dist folder of the package and give its URL as option assets`,
      { ...(url !== undefined && { url }) },
      { cause },
    )
  }
}
