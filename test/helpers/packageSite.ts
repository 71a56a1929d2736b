/**
 * The packed package as web pages have it: unpacked from the tarball, served from the page's origin and from another one, to
 * pages with a policy of their own.
 */

import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { extname, join } from 'node:path'
import type { Browser, Page } from 'playwright-core'

/** What `npm pack` makes of the built library. */
export function unpackPackage(folder: string): void {
  if (!existsSync('dist/index.js')) throw new Error('dist/ is not built: run "npm run build" first')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const packed = execFileSync('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder])
  const [{ filename }] = JSON.parse(packed.toString()) as [{ filename: string }]
  execFileSync('tar', ['-xzf', filename], { cwd: folder })
}

/** A page's script: the library it loads is in its own URL, and tests call what it puts into the global scope. */
const PAGE_SCRIPT = `
const { LLM, WeirError } = await import(new URL(import.meta.url).searchParams.get('library'))
Object.assign(globalThis, { LLM, WeirError })
/** Small files of a model are read by the worker, and a trace is replayed by a file that it loads when asked. */
globalThis.use = async (trace, options) => {
  const { totalBytes } = await LLM.plan('/model', options)
  const { plans } = await LLM.replay(trace, options)
  return { totalBytes, plans }
}
globalThis.load = (options) =>
  LLM.load('/model', { maxNumBatchedTokens: 16, maxNumSeqs: 2, maxModelLen: 64, kvCacheTokens: 256, ...options })
globalThis.generate = async (llm, max_tokens = 3) => {
  const fields = { max_tokens, temperature: 0, ignore_eos: true }
  return (await llm.generate({ prompt_token_ids: [1, 2, 3] }, fields).result()).token_ids
}
globalThis.failure = (promise) => promise.then(() => 'none', (error) => error instanceof WeirError ? error.toData() : String(error))
document.documentElement.dataset.ready = ''
`

/** A worker of the page's own that uses the library itself. */
const OUTER_SCRIPT = `
const { LLM } = await import('/lib/index.js')
postMessage('ready')
onmessage = async ({ data }) => {
  const { plans } = await LLM.replay(data)
  const llm = await LLM.load('/model', { maxNumBatchedTokens: 16, maxNumSeqs: 2, maxModelLen: 64, kvCacheTokens: 256 })
  const { token_ids } = await llm.generate({ prompt_token_ids: [1, 2, 3] }, { max_tokens: 3, temperature: 0 }).result()
  await llm.dispose()
  postMessage({ plans, token_ids })
}
`

const SCRIPTS: Readonly<Record<string, string>> = {
  '/page.js': PAGE_SCRIPT,
  '/outer.js': OUTER_SCRIPT,
  '/own.js': "import '/lib/worker.js'",
  '/other.js': 'onmessage = () => {}',
}

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
}

/** What a page and the scripts of its workers need for shared memory. */
const ISOLATION = new Map([
  ['cross-origin-opener-policy', 'same-origin'],
  ['cross-origin-embedder-policy', 'require-corp'],
])

export interface SiteOptions {
  /** of the page */
  readonly policy?: string
  readonly base?: string
  /** the library's module */
  readonly library?: string
  /** cross-origin isolated; the library too must then be of an isolated folder */
  readonly isolated?: boolean
}

export interface PackageSite {
  readonly origin: string
  open(browser: Browser, options?: SiteOptions): Promise<Page>
  close(): Promise<void>
}

/**
 * A site of pages, scripts and these folders of it: `/lib/`, the package; `/alone/`, without the worker's files, as bundlers leave
 * it that do not know them; `/html/`, the same where a missing file is a page; `/silent/`, the same where it never comes; others
 * with a fault or with headers, in `FOLDERS`; `/model/`.
 * @param folder gets what is served
 */
export async function servePackage(folder: string): Promise<PackageSite> {
  unpackPackage(folder)
  const dist = join(folder, 'package/dist')
  cpSync(dist, join(folder, 'alone'), { recursive: true })
  for (const file of ['worker.js', 'replay.js']) rmSync(join(folder, 'alone', file))
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    response.setHeader('access-control-allow-origin', '*')
    answer(url, folder, response)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the test server has no port')
  const origin = `http://127.0.0.1:${address.port}`
  return {
    origin,
    open: async (browser, { policy = '', base = '', library = '/lib/index.js', isolated = false } = {}) => {
      const page = await browser.newPage()
      const query = new URLSearchParams({ policy, base, library, ...(isolated && { isolated: '1' }) })
      await page.goto(`${origin}/app/page?${query}`)
      // Not by a function: the page's policy may forbid the `eval` of polling.
      await page.waitForSelector('html[data-ready]', { state: 'attached' })
      return page
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function answer({ pathname, searchParams }: URL, folder: string, response: ServerResponse): void {
  const script = SCRIPTS[pathname]
  if (script !== undefined) {
    response.setHeader('content-type', 'text/javascript').end(script)
    return
  }
  if (pathname === '/app/page') {
    const policy = searchParams.get('policy')
    if (policy) response.setHeader('content-security-policy', policy)
    if (searchParams.has('isolated')) response.setHeaders(ISOLATION)
    response.setHeader('content-type', 'text/html').end(pageOf(searchParams))
    return
  }
  const [, place = '', ...rest] = pathname.split('/')
  const name = rest.join('/')
  const { files, headers, without, missing } = FOLDERS[place] ?? { files: '.' }
  const file = place === 'model' ? join('public/models/qwen3-mtp', name) : join(folder, files, name)
  if (headers) response.setHeaders(headers)
  if (name !== '' && name !== without && existsSync(file)) {
    response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream').end(readFileSync(file))
  } else if (missing === 'a page') {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>not found</title>')
  } else if (missing !== 'silence') {
    response.writeHead(404).end()
  }
}

interface Folder {
  /** where its files are */
  readonly files: string
  readonly headers?: Map<string, string>
  /** a file that is missing */
  readonly without?: string
  /** what comes for a file that is missing; default: 404 */
  readonly missing?: 'a page' | 'silence'
}

const DIST = 'package/dist'
const WASM = 'ort-wasm-simd-threaded.wasm'

const FOLDERS: Readonly<Record<string, Folder>> = {
  lib: { files: DIST },
  alone: { files: 'alone' },
  html: { files: 'alone', missing: 'a page' },
  silent: { files: 'alone', missing: 'silence' },
  isolated: { files: DIST, headers: ISOLATION },
  'no-threads': {
    files: DIST,
    headers: new Map([...ISOLATION, ['content-security-policy', "worker-src 'none'"]]),
  },
  'no-ort': { files: DIST, without: 'ort.mjs' },
  'no-glue': { files: DIST, without: 'ort-wasm-simd-threaded.mjs' },
  'no-wasm': { files: DIST, without: WASM },
  'html-wasm': { files: DIST, without: WASM, missing: 'a page' },
  strict: { files: DIST, headers: new Map([['content-security-policy', "script-src 'self'"]]) },
  compiling: { files: DIST, headers: new Map([['content-security-policy', "script-src 'self' 'wasm-unsafe-eval'"]]) },
}

function pageOf(search: URLSearchParams): string {
  const library = encodeURIComponent(search.get('library') ?? '')
  const base = search.get('base')
  return `<!doctype html><title>app</title>${base ? `<base href="${base}">` : ''}
<script type="module" nonce="n" src="/page.js?library=${library}"></script>`
}
