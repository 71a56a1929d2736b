/**
 * Where the files of the package are: beside the library's module, or where the page says. Everything is resolved on the page,
 * because a worker may have no place of its own. It must never know what the files are for.
 */

import type { AssetUrls } from '../../protocol/connection.ts'
import { WeirError } from '../../protocol/errors.ts'
import { baseUrl } from '../baseUrl.ts'

/**
 * Option `assets` as an absolute URL that ends with a slash; undefined when it is not given.
 * @throws INVALID_OPTION
 */
export function assetsFolder(assets: string | URL | undefined): string | undefined {
  if (assets === undefined) return undefined
  const text = String(assets)
  const base = baseUrl()
  const url = URL.canParse(text, base) ? new URL(text, base) : undefined
  if (!url || !URL.canParse('file.js', url)) {
    throw new WeirError('INVALID_OPTION', `assets must be the URL of a folder, not '${text}'`, { option: 'assets' })
  }
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url.href
}

/** A file in the folder; without one, beside the library's module, as long as no bundler has moved that. */
export function assetUrl(file: string, folder: string | undefined): string | undefined {
  // Not written out where bundlers would see it: they would copy files that they have taken care of already.
  const base = folder ?? import.meta.url
  return URL.canParse(file, base) ? new URL(file, base).href : undefined
}

/** Files that the worker loads when they are asked for. Without a folder the URLs are in the form that bundlers look for. */
export function lazyAssets(folder: string | undefined): AssetUrls {
  if (folder !== undefined) {
    return {
      replay: assetUrl('replay.js', folder),
      ort: assetUrl('ort.mjs', folder),
      ortWasm: assetUrl('ort-wasm-simd-threaded.wasm', folder),
      ortGlue: assetUrl('ort-wasm-simd-threaded.mjs', folder),
    }
  }
  try {
    const files = {
      replay: new URL('../../worker/replay.ts', import.meta.url),
      ort: new URL('../../ort/ortBackend.ts', import.meta.url),
      ortWasm: new URL('../../../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm', import.meta.url),
      ortGlue: new URL('../../../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.mjs', import.meta.url),
    }
    // A bundler's stand-in for a URL may be relative to the page (Turbopack).
    const absolute = ([name, { href }]: readonly [string, URL]) => [name, new URL(href, baseUrl()).href]
    return Object.fromEntries(Object.entries(files).map(absolute))
  } catch {
    // A bundle that is no module has no URL.
    return {}
  }
}
