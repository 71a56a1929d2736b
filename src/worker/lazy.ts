/** Modules that are loaded when they are asked for, by the absolute URLs that the page has sent. */

import { WeirError } from '../protocol/errors.ts'

type ReplayModule = typeof import('./replay.ts')

/** @throws BACKEND_UNAVAILABLE */
export function loadReplay(url: string | undefined): Promise<ReplayModule> {
  return load<ReplayModule>('replay.js', url)
}

async function load<T>(file: string, url: string | undefined): Promise<T> {
  try {
    if (url === undefined) throw new Error('the bundler has left it no URL')
    // Known at run time only: bundlers must leave it alone.
    return await import(/* @vite-ignore */ /* webpackIgnore: true */ /* turbopackIgnore: true */ url)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      `${file} could not be loaded (${reason}): serve the dist folder of the package and give its URL as option assets`,
      { file, ...(url !== undefined && { url }) },
      { cause },
    )
  }
}
