/** Chromium for tests that need a page: launching it with or without WebGPU, a folder served to it, and what its console says. */

import { existsSync, statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, normalize, sep } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { ensureBrowser, HEADLESS_FLAGS, SOFTWARE_GPU_FLAGS } from '../../scripts/browser.mjs'

/** A browser whose pages have a software WebGPU adapter, or none at all whatever the machine has. */
export function launchBrowser({ webgpu }: { readonly webgpu: boolean }): Promise<Browser> {
  const flags = webgpu ? SOFTWARE_GPU_FLAGS : ['--disable-gpu']
  return chromium.launch({ executablePath: ensureBrowser(), args: [...HEADLESS_FLAGS, ...flags] })
}

export interface FolderServer {
  /** ends with a slash */
  readonly url: string
  close(): Promise<void>
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
}

/** Any static server: a folder on 127.0.0.1, index.html for folders, 404 for what is not there, these headers for all that is. */
export async function serveFolder(
  folder: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<FolderServer> {
  if (!existsSync(join(folder, 'index.html'))) throw new Error(`${folder}/ is not built: run "npm run build" first`)
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname))
    const file = join(folder, path.endsWith(sep) ? `${path}index.html` : path)
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end()
      return
    }
    const body = await readFile(file)
    response.setHeaders(new Map(Object.entries(headers)))
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream')
    response.setHeader('content-length', body.length).end(body)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the test server has no port')
  return {
    url: `http://127.0.0.1:${address.port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/**
 * Collects what goes wrong on a page: uncaught errors and console errors. A file that a model need not have is not an error,
 * though the browser logs its 404; `mayMiss` says which URLs those are.
 */
export function watchErrors(page: Page, mayMiss: RegExp): string[] {
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.message))
  page.on('console', (message) => {
    if (message.type() !== 'error' || mayMiss.test(message.location().url)) return
    errors.push(`${message.text()} (${message.location().url})`)
  })
  return errors
}
