/** Engines that come and go, with the packed package on the processor in a real browser: none is left, none is in another's way. */

import type { Browser, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { launchBrowser } from '../helpers/browser.ts'
import { type PackageSite, servePackage } from '../helpers/packageSite.ts'
import { tinyTrace } from '../helpers/tinyTrace.ts'

let site: PackageSite
let browser: Browser
let page: Page
/** what the model says */
let expected: number[]

beforeAll(async () => {
  site = await servePackage('out/lifetimes')
  browser = await launchBrowser({ webgpu: false })
  const first = await site.open(browser)
  expected = await first.evaluate('load().then(generate)')
  expect(expected).toHaveLength(3)
  await first.close()
})

beforeEach(async () => {
  page = await site.open(browser)
})

afterEach(() => page.close())

afterAll(async () => {
  await browser?.close()
  await site?.close()
})

function workersLeft() {
  return expect.poll(() => page.workers().length, { timeout: 30_000 })
}

it('load, dispose and load again, as React does to a component in strict mode', async () => {
  const answer = await page.evaluate(`(async () => {
    const effect = () => {
      const loading = load()
      return { loading, cleanUp: () => loading.then((llm) => llm.dispose()) }
    }
    const first = effect()
    const gone = first.cleanUp()
    const second = effect()
    const tokenIds = await generate(await second.loading)
    await gone
    await Promise.all([second.cleanUp(), second.cleanUp()])
    return tokenIds
  })()`)
  expect(answer).toEqual(expected)
  await workersLeft().toBe(0)
})

it('a load that is aborted at whatever moment leaves nothing, and the next one works', async () => {
  const answer = await page.evaluate(`(async () => {
    const codes = []
    for (const phase of ['start', 'fetch', 'compile']) {
      const controller = new AbortController()
      const loading = load({
        signal: controller.signal,
        onProgress: (progress) => progress.phase === phase && controller.abort(),
      })
      if (phase === 'start') controller.abort()
      codes.push((await failure(loading)).code)
    }
    const llm = await load()
    const tokenIds = await generate(llm)
    await llm.dispose()
    return { codes, tokenIds }
  })()`)
  expect(answer).toEqual({ codes: Array(3).fill('ABORTED'), tokenIds: expected })
  await workersLeft().toBe(0)
})

it("a page's own worker has several engines at once and one after another, and outlives them", async () => {
  const answers = await page.evaluate(`(async () => {
    const worker = new Worker('/own.js', { type: 'module' })
    const controller = new AbortController()
    const onProgress = ({ phase }) => phase === 'fetch' && controller.abort()
    const given = await failure(load({ worker, onProgress, signal: controller.signal }))
    const [one, two] = await Promise.all([load({ worker }), load({ worker })])
    const both = await Promise.all([generate(one), generate(two)])
    await one.dispose()
    const answers = [...both, await generate(two)]
    await two.dispose()
    const three = await load({ worker })
    answers.push(await generate(three))
    await three.dispose()
    return { given: given.code, answers }
  })()`)
  expect(answers).toEqual({ given: 'ABORTED', answers: Array(4).fill(expected) })
  expect(page.workers()).toHaveLength(1)
})

it('a worker that ends by itself ends its engine with DEVICE_LOST, whoever waits, and a new load works', async () => {
  const codes = await page.evaluate(`(async () => {
    const worker = new Worker('/own.js', { type: 'module' })
    const llm = await load({ worker })
    const running = failure(generate(llm, 60))
    worker.terminate()
    const codes = [(await running).code, (await failure(generate(llm))).code, (await failure(llm.stats())).code]
    await llm.dispose()
    codes.push((await failure(llm.stats())).code)
    return [...codes, await generate(await load())]
  })()`)
  expect(codes).toEqual(['DEVICE_LOST', 'DEVICE_LOST', 'DEVICE_LOST', 'DISPOSED', expected])
})

it('a Blob of the whole worker says what the file says', async () => {
  const other = await site.open(browser, { library: '/alone/index.js' })
  expect(await other.evaluate('load().then(generate)')).toEqual(expected)
  expect(other.workers().map((worker) => worker.url())).toEqual([expect.stringMatching(/^blob:/)])
  await other.close()
})

it('an engine lives in a worker of the page', async () => {
  const trace = JSON.stringify(await tinyTrace())
  const answer = await page.evaluate(`new Promise((resolve, reject) => {
    const outer = new Worker('/outer.js', { type: 'module' })
    outer.onerror = ({ message }) => reject(new Error(message))
    outer.onmessage = ({ data }) => data === 'ready' ? outer.postMessage(${trace}) : resolve(data)
  })`)
  expect(answer).toEqual({ plans: 4, token_ids: expected })
})
