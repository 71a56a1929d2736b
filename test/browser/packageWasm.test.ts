/**
 * The packed package on the processor in a real browser: what is missing or forbidden is told with what to do, threads run where
 * they may, and after any fault a new load works.
 */

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DeviceInfo } from '../../src/index.ts'
import { launchBrowser } from '../helpers/browser.ts'
import { type PackageSite, type SiteOptions, servePackage } from '../helpers/packageSite.ts'

let site: PackageSite
let browser: Browser
/** what the model says on one thread */
let expected: number[]

beforeAll(async () => {
  site = await servePackage('out/wasm')
  browser = await launchBrowser({ webgpu: false })
  expected = await withPage({}, (page) => page.evaluate<number[]>('load().then(generate)'))
  expect(expected).toHaveLength(3)
})

afterAll(async () => {
  await browser?.close()
  await site?.close()
})

async function withPage<T>(options: SiteOptions, use: (page: Page, requests: string[]) => Promise<T>): Promise<T> {
  const page = await site.open(browser, options)
  const requests: string[] = []
  page.context().on('request', (request) => requests.push(new URL(request.url()).pathname))
  try {
    return await use(page, requests)
  } finally {
    await page.close()
  }
}

interface Failure {
  readonly code: string
  readonly message: string
}

/** How the default load ends with a library, and that a load with the files of `/lib/` works afterwards. */
function failureThenLoad(options: SiteOptions): Promise<Failure> {
  return withPage(options, async (page) => {
    const failure = await page.evaluate<Failure>('failure(load())')
    expect(await page.evaluate("load({ assets: '/lib/' }).then(generate)")).toEqual(expected)
    await expect.poll(() => page.workers().length, { timeout: 30_000 }).toBe(1)
    return failure
  })
}

describe('a file that is missing', () => {
  it.each([
    ['ort.mjs', 'no-ort', /ort\.mjs could not be loaded .*option assets/],
    ['the glue', 'no-glue', /no-glue\/ort-wasm-simd-threaded\.mjs answers HTTP 404: .*option assets/],
    ['the WebAssembly file', 'no-wasm', /no-wasm\/ort-wasm-simd-threaded\.wasm answers HTTP 404: .*option assets/],
    ['the WebAssembly file, with a page in its place', 'html-wasm', /\.wasm is an HTML page: .*option assets/],
  ])('is told by its name, and a new load with other files works: %s', async (_name, place, message) => {
    const failure = await failureThenLoad({ library: `/${place}/index.js` })
    expect(failure.code).toBe('BACKEND_UNAVAILABLE')
    expect(failure.message).toMatch(message)
    expect(failure.message).toMatch(/^WebGPU found no adapter.*; and the processor cannot be used: /)
  })
})

describe('a policy', () => {
  it("without 'wasm-unsafe-eval' for the worker is told, and a new load without it works", async () => {
    const failure = await failureThenLoad({ library: '/strict/index.js' })
    expect(failure.code).toBe('BACKEND_UNAVAILABLE')
    expect(failure.message).toContain("'wasm-unsafe-eval' in script-src")
  })

  it("with 'wasm-unsafe-eval' is enough, for the worker as a file and as a Blob, which has the page's", async () => {
    const policy = "script-src 'self'; worker-src 'self' blob:"
    const load = 'load().then(generate)'
    const outcomes = await Promise.all([
      withPage({ library: '/compiling/index.js', policy }, (page) => page.evaluate(load)),
      withPage({ library: '/alone/index.js', policy: policy.replace("'self'", "'self' 'wasm-unsafe-eval'") }, (page) =>
        page.evaluate(load),
      ),
      withPage({ library: '/alone/index.js', policy }, (page) => page.evaluate<Failure>('failure(load())')),
    ])
    expect(outcomes).toEqual([expected, expected, expect.objectContaining({ code: 'BACKEND_UNAVAILABLE' })])
  })
})

describe('threads', () => {
  const run = (numThreads: number) => `(async () => {
    const llm = await load({ numThreads: ${numThreads} })
    return { threads: llm.device.threads, ids: await generate(llm) }
  })()`

  it('are one where the page is not cross-origin isolated, however many are asked for', async () => {
    expect(await withPage({}, (page) => page.evaluate(run(4)))).toEqual({ threads: 1, ids: expected })
  })

  it('are as many as asked for where it is, and say the same', async () => {
    await withPage({ library: '/isolated/index.js', isolated: true }, async (page) => {
      expect(await page.evaluate('crossOriginIsolated')).toBe(true)
      expect(await page.evaluate(run(2))).toEqual({ threads: 2, ids: expected })
      // The second thread is a worker of the worker.
      expect(page.workers().map((worker) => new URL(worker.url()).pathname)).toEqual([
        '/isolated/worker.js',
        '/isolated/ort-wasm-simd-threaded.mjs',
      ])
    })
  })
})

describe('threads that cannot start though the page is isolated', () => {
  const load = 'load({ numThreads: 2 })'

  it('are one where only the page comes with the headers', async () => {
    await withPage({ isolated: true }, async (page) => {
      const engine = `${load}.then(async (llm) => [llm.device.threads, await generate(llm)])`
      expect(await page.evaluate(engine)).toEqual([1, expected])
    })
  })

  it('are told where a policy forbids them, and one thread works', async () => {
    await withPage({ library: '/no-threads/index.js', isolated: true }, async (page) => {
      const { code, message } = await page.evaluate<Failure>(`failure(${load})`)
      expect(code).toBe('BACKEND_UNAVAILABLE')
      expect(message).toMatch(/a thread failed .*numThreads to 1/)
      expect(await page.evaluate('load({ numThreads: 1 }).then(generate)')).toEqual(expected)
    })
  })
})

describe('an engine on the processor', () => {
  it('is what the library chooses where there is no GPU, and says why', async () => {
    const device = await withPage({}, (page) => page.evaluate<DeviceInfo>('LLM.probe()'))
    expect(device).toEqual({ backend: 'wasm', threads: 1, reason: expect.stringMatching(/^WebGPU found no adapter: /) })
  })

  it("is never taken in place of backend 'webgpu', nor is anything of it loaded", async () => {
    await withPage({}, async (page, requests) => {
      for (const call of ["LLM.probe({ backend: 'webgpu' })", "load({ backend: 'webgpu' })"]) {
        const { code, message } = await page.evaluate<Failure>(`failure(${call})`)
        expect(code).toBe('BACKEND_UNAVAILABLE')
        expect(message).toMatch(/^WebGPU found no adapter: turn on hardware acceleration/)
      }
      expect(requests.filter((path) => /ort/.test(path))).toEqual([])
    })
  })

  it('plans without the WebAssembly file', async () => {
    await withPage({}, async (page, requests) => {
      const { totalBytes, weightBytes } = await page.evaluate<{ totalBytes: number; weightBytes: number }>(
        "LLM.plan('/model')",
      )
      expect(totalBytes).toBeGreaterThan(weightBytes)
      expect(requests.filter((path) => path.endsWith('.wasm'))).toEqual([])
    })
  })

  it('refuses a KV cache for which there is no memory, naming the option, and a smaller one works after it', async () => {
    await withPage({}, async (page) => {
      const { code, message } = await page.evaluate<Failure>('failure(load({ kvCacheTokens: 1e9 }))')
      expect(code).toMatch(/^(LIMIT_EXCEEDED|OUT_OF_MEMORY)$/)
      expect(message).toContain('lower kvCacheTokens')
      expect(await page.evaluate('load().then(generate)')).toEqual(expected)
    })
  })

  it('hears of an abort and of a new request between two steps', async () => {
    const answer = await withPage({}, (page) =>
      page.evaluate<{ aborted: number; ids: number[]; finish_reason: string }>(`(async () => {
        const llm = await load({ maxModelLen: 512, kvCacheTokens: 1024 })
        const long = llm.generate({ prompt_token_ids: [4, 5] }, { max_tokens: 500, ignore_eos: true })
        let other, ids
        for await (const _ of long) {
          other ??= generate(llm).then((answer) => { ids = answer })
          if (ids) break
        }
        const { token_ids, finish_reason } = await long.result()
        await llm.dispose()
        return { aborted: token_ids.length, ids, finish_reason }
      })()`),
    )
    expect(answer).toMatchObject({ ids: expected, finish_reason: 'abort' })
    expect(answer.aborted).toBeLessThan(400)
  })

  it('whose worker ends in the middle of an answer ends it with DEVICE_LOST, and a new load works', async () => {
    const answer = await withPage({}, (page) =>
      page.evaluate(`(async () => {
        const worker = new Worker('/own.js', { type: 'module' })
        const llm = await load({ worker, maxModelLen: 512, kvCacheTokens: 1024 })
        const long = llm.generate({ prompt_token_ids: [4, 5] }, { max_tokens: 500, ignore_eos: true })
        const terminating = (async () => {
          for await (const _ of long) worker.terminate()
        })()
        const codes = [(await failure(long.result())).code, (await failure(terminating)).code, (await failure(generate(llm))).code]
        await llm.dispose()
        return [...codes, await generate(await load())]
      })()`),
    )
    expect(answer).toEqual(['DEVICE_LOST', 'DEVICE_LOST', 'DEVICE_LOST', expected])
  })
})
