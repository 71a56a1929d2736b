/**
 * The way to the worker, with the packed package in a real browser: where the library is, what its server answers, what the
 * page's policy allows. Each set-up also replays a trace, by a file that the worker loads when asked. No set-up needs a GPU.
 */

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { launchBrowser } from '../helpers/browser.ts'
import { type PackageSite, type SiteOptions, servePackage } from '../helpers/packageSite.ts'
import { tinyTrace } from '../helpers/tinyTrace.ts'

let site: PackageSite
/** the same files from another origin */
let cdn: PackageSite
let browser: Browser
let trace: string

beforeAll(async () => {
  site = await servePackage('out/site')
  cdn = await servePackage('out/cdn')
  browser = await launchBrowser({ webgpu: false })
  trace = JSON.stringify(await tinyTrace())
})

afterAll(async () => {
  await browser?.close()
  await site?.close()
  await cdn?.close()
})

async function withPage<T>(options: SiteOptions, use: (page: Page, workers: string[]) => Promise<T>): Promise<T> {
  const page = await site.open(browser, options)
  const workers: string[] = []
  page.on('worker', (worker) => workers.push(worker.url()))
  try {
    return await use(page, workers)
  } finally {
    await page.close()
  }
}

/** Where the workers came from that planned a model's memory and replayed a trace. */
function used(options: SiteOptions, llmOptions = '{}'): Promise<string[]> {
  return withPage(options, async (page, workers) => {
    const result = await page.evaluate<{ totalBytes: number; plans: number }>(`use(${trace}, ${llmOptions})`)
    expect(result.totalBytes).toBeGreaterThan(100_000)
    expect(result.plans).toBe(4)
    return workers.map((url) => url.replace(/^blob:.*/, 'blob'))
  })
}

interface Failure {
  readonly code: string
  readonly message: string
}

function failure(options: SiteOptions, call: string): Promise<Failure> {
  return withPage(options, (page) => page.evaluate<Failure>(`failure(${call})`))
}

const TRUSTED_TYPES = "require-trusted-types-for 'script'"

describe("the library from the page's origin", () => {
  const file = () => `${site.origin}/lib/worker.js`

  it.each([
    ['no policy', ''],
    ["worker-src 'self'", "worker-src 'self'"],
    ["script-src 'self'", "script-src 'self'"],
    ['nonce and strict-dynamic', "script-src 'nonce-n' 'strict-dynamic'"],
  ])('starts its worker from the file: %s', async (_name, policy) => {
    expect(await used({ policy })).toEqual([file(), file()])
  })

  it('starts it from the file through a Trusted Types policy of its own', async () => {
    expect(await used({ policy: TRUSTED_TYPES })).toEqual([file(), file()])
    expect(await used({ policy: `${TRUSTED_TYPES}; trusted-types weir` })).toEqual([file(), file()])
  })

  it('starts a Blob where files are forbidden', async () => {
    expect(await used({ policy: 'worker-src blob:' })).toEqual(['blob', 'blob'])
  })

  it.each(['alone', 'html'])('starts a Blob where the worker file is missing: /%s/', async (place) => {
    // The second starts at once as the first did in the end.
    expect((await used({ library: `/${place}/index.js` })).slice(-2)).toEqual(['blob', 'blob'])
    const trusted = await used({ library: `/${place}/index.js`, policy: TRUSTED_TYPES })
    expect(trusted.slice(-2)).toEqual(['blob', 'blob'])
  })

  it('says what was tried where everything is forbidden', async () => {
    const { code, message } = await failure({ policy: "worker-src 'none'" }, "LLM.load('/model')")
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toMatch(
      /- worker\.js beside the library: .*worker-src\)\n- a Blob of the whole worker: .*worker-src\)/,
    )
    expect(message).toContain("worker-src 'self' blob:")
  })

  it('says so where Trusted Types do not allow its policy', async () => {
    const policy = `${TRUSTED_TYPES}; trusted-types other`
    for (const call of ["LLM.load('/model')", "LLM.plan('/model')", 'LLM.probe()', "LLM.replay('')"]) {
      const { code, message } = await failure({ policy }, call)
      expect(code).toBe('BACKEND_UNAVAILABLE')
      expect(message).toMatch(/TrustedScriptURL(.|\n)*trusted-types weir/)
    }
  })

  it('names the file and the option where a lazily loaded file is missing', async () => {
    const { code, message } = await failure(
      {},
      `LLM.replay(${trace}, { worker: () => new Worker('/own.js', { type: 'module' }), assets: '/nowhere' })`,
    )
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toMatch(/replay\.js .*assets/)
  })
})

describe('the library from another origin', () => {
  const library = () => `${cdn.origin}/lib/index.js`

  it('starts a Blob that imports the file', async () => {
    expect(await used({ library: library() })).toEqual(['blob', 'blob'])
  })

  it('starts a Blob of the whole worker where the file is missing', async () => {
    expect(await used({ library: `${cdn.origin}/alone/index.js` })).toContain('blob')
  })

  it('says so where the policy forbids Blobs', async () => {
    const { code, message } = await failure({ library: library(), policy: "worker-src 'self'" }, "LLM.load('/model')")
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message.match(/^- /gm)).toHaveLength(3)
  })

  it("starts the file in the folder of `assets`, which counts from the document's base", async () => {
    const options = { library: library(), policy: "worker-src 'self'", base: '/' }
    expect(await used(options, "{ assets: 'lib' }")).toEqual([
      `${site.origin}/lib/worker.js`,
      `${site.origin}/lib/worker.js`,
    ])
  })

  it('imports the file of an `assets` folder that is elsewhere', async () => {
    expect(await used({}, `{ assets: new URL('${cdn.origin}/lib/') }`)).toEqual(['blob', 'blob'])
  })
})

describe("a worker of the page's own", () => {
  const own = "new Worker('/own.js', { type: 'module' })"

  it('is started by a function, and terminated', async () => {
    await withPage({}, async (page, workers) => {
      await page.evaluate(`use(${trace}, { worker: () => ${own} })`)
      expect(workers).toEqual([`${site.origin}/own.js`, `${site.origin}/own.js`])
      await expect.poll(() => page.workers().length, { timeout: 30_000 }).toBe(0)
    })
  })

  it('serves several calls when it is given, and lives on', async () => {
    await withPage({}, async (page, workers) => {
      await page.evaluate(`globalThis.own = ${own}, use(${trace}, { worker: own })`)
      await page.evaluate(`use(${trace}, { worker: own })`)
      expect(workers).toHaveLength(1)
      expect(page.workers()).toHaveLength(1)
    })
  })

  it("comes by the page's own Trusted Types policy", async () => {
    const policy = `${TRUSTED_TYPES}; trusted-types app`
    const worker =
      "new Worker(trustedTypes.createPolicy('app', { createScriptURL: (url) => url }).createScriptURL('/own.js'), { type: 'module' })"
    expect(await used({ policy }, `{ worker: ${worker} }`)).toEqual([`${site.origin}/own.js`])
  })

  it('is refused when it throws or is missing', async () => {
    for (const [worker, reason] of [
      ["{ throw new Error('no more workers') }", 'no more workers'],
      ["new Worker('/nowhere.js')", 'it could not be loaded'],
    ]) {
      const { code, message } = await failure({}, `LLM.probe({ worker: () => ${worker} })`)
      expect(code).toBe('BACKEND_UNAVAILABLE')
      expect(message).toContain(`option worker: ${reason}`)
    }
  })
})

it('silence has an end: the own worker is refused, a file that never comes is given up for a Blob', async () => {
  const silent = "LLM.probe({ worker: () => new Worker('/other.js') })"
  const [workers, { code, message }] = await Promise.all([used({ library: '/silent/index.js' }), failure({}, silent)])
  expect(workers.slice(-2)).toEqual(['blob', 'blob'])
  expect(code).toBe('BACKEND_UNAVAILABLE')
  expect(message).toContain('option worker: no answer within 10 s')
})
