/**
 * The loader's requests through a browser's HTTP cache, at a server that compresses as webpack-dev-server does: whatever the
 * client says it can read, ranges included. `fetch` asks for ranges uncompressed; a cache that fills up a part does not.
 */

import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { gzipSync } from 'node:zlib'
import type { Browser } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { launchBrowser } from '../helpers/browser.ts'
import { plainTensors } from '../helpers/modelFiles.ts'

const LOADER = 'out/weightCache'

/** Longer than the probe of its header, so that a cached part of it would be filled up. */
const WEIGHTS = plainTensors({ a: [1000, 100], b: [1000, 50] })

const ETAG = 'W/"1"'

const PAGE = `<!doctype html><title>cache</title><script type="module">
  import { openModel } from '/source.js'
  const load = async () => {
    const bytes = []
    const { checkpoint } = await openModel(new URL('/model/', location.href).href)
    const ranges = [...checkpoint.tensors.values()].map(({ name, bytes }) => ({ tensor: name, begin: 0, end: bytes }))
    await checkpoint.read(ranges, (_, data) => void bytes.push(data.slice()))
    const digest = await crypto.subtle.digest('SHA-256', await new Blob(bytes).arrayBuffer())
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
  }
  globalThis.load = () => load().catch((error) => error.message)
</script>`

let server: Server
let browser: Browser
const seen: { readonly range: string | undefined; readonly encoding: string | undefined }[] = []

beforeAll(async () => {
  mkdirSync(LOADER, { recursive: true })
  await build({
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    build: { outDir: LOADER, lib: { entry: 'src/loader/source.ts', formats: ['es'], fileName: () => 'source.js' } },
  })
  const files: Readonly<Record<string, readonly [type: string, body: Uint8Array | string]>> = {
    '/': ['text/html', PAGE],
    '/source.js': ['text/javascript', readFileSync(`${LOADER}/source.js`)],
    '/model/config.json': ['application/json', '{}'],
    '/model/model.safetensors': ['application/octet-stream', WEIGHTS],
  }
  server = createServer((request, response) => {
    const [type, body] = files[request.url ?? ''] ?? []
    if (!type || body === undefined) {
      response.writeHead(404).end()
      return
    }
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    const whole = Buffer.from(body)
    const start = Number(range?.[1] ?? 0)
    const part = whole.subarray(start, range?.[2] ? Number(range[2]) + 1 : undefined)
    const compressed = /gzip/.test(request.headers['accept-encoding'] ?? '')
    if (type.endsWith('stream')) {
      seen.push({ range: request.headers.range, encoding: compressed ? 'gzip' : undefined })
    }
    if (request.headers['if-none-match'] === ETAG) {
      response.writeHead(304).end()
      return
    }
    response.writeHead(range ? 206 : 200, {
      etag: ETAG,
      'content-type': type,
      'accept-ranges': 'bytes',
      'last-modified': new Date(0).toUTCString(),
      'cache-control': 'public, max-age=0',
      vary: 'accept-encoding',
      ...(range && { 'content-range': `bytes ${start}-${start + part.length - 1}/${whole.length}` }),
      ...(compressed ? { 'content-encoding': 'gzip' } : { 'content-length': part.length }),
    })
    response.end(compressed ? gzipSync(part) : part)
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  browser = await launchBrowser({ webgpu: false })
})

afterAll(async () => {
  await browser?.close()
  server?.closeAllConnections()
  server?.close()
})

it('the probe of a header leaves nothing in the cache that the weights could be mixed with', async () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the test server has no port')
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${address.port}/`)
  await page.waitForFunction('globalThis.load')

  const headerBytes = 8 + Number(new DataView(WEIGHTS.buffer).getBigUint64(0, true))
  const expected = createHash('sha256').update(WEIGHTS.subarray(headerBytes)).digest('hex')
  expect(await page.evaluate('load()')).toBe(expected)
  expect(await page.evaluate('load()')).toBe(expected)
  // The server was one that the fault needs: a range as it is, the whole compressed.
  expect(seen[0]).toEqual({ range: 'bytes=0-262143', encoding: undefined })
  expect(seen[1]).toEqual({ range: undefined, encoding: 'gzip' })
})
