/**
 * Page and library on WebGPU in a real browser, on a software adapter: what the other tests here do on the processor. Such an
 * adapter is slow, so it is shown only that this way works, that it loads nothing of the other, and what happens when it ends.
 */

import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { DeviceInfo, GenerationResult } from '../../src/index.ts'
import { type FolderServer, launchBrowser, serveFolder, watchErrors } from '../helpers/browser.ts'
import { bindingIds, loadGolden } from '../helpers/golden.ts'
import { engineIs, storiesReach, VIEW } from '../helpers/page.ts'

const FOLDER = 'out/webgpu'

const PAGE = `<!doctype html><title>webgpu</title><script type="module">
  const { LLM } = await import('/lib/index.js')
  globalThis.LLM = LLM
  globalThis.codeOf = (promise) => promise.then(() => 'none', (error) => error.code)
  globalThis.load = (options) => LLM.load('model/', {
    backend: 'webgpu', maxNumBatchedTokens: 16, maxNumSeqs: 2, maxModelLen: 512, kvCacheTokens: 1024, ...options,
  })
  globalThis.generate = (llm, prompt_token_ids, max_tokens) =>
    llm.generate({ prompt_token_ids }, { max_tokens, temperature: 0, ignore_eos: true }).result()
  globalThis.ready = true
</script>`

let server: FolderServer
let site: FolderServer
let browser: Browser

beforeAll(async () => {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(`${FOLDER}/index.html`, PAGE)
  cpSync('public/models/qwen3-mtp', `${FOLDER}/model`, { recursive: true })
  cpSync('dist', `${FOLDER}/lib`, { recursive: true })
  server = await serveFolder(FOLDER)
  site = await serveFolder('site')
  browser = await launchBrowser({ webgpu: true })
})

afterAll(async () => {
  await browser?.close()
  await server?.close()
  await site?.close()
})

/** What the page and its workers ask for of ONNX Runtime. */
function watchOrt(page: Page): string[] {
  const requests: string[] = []
  page.context().on('request', (request) => {
    const { pathname } = new URL(request.url())
    if (/ort/i.test(pathname)) requests.push(pathname)
  })
  return requests
}

async function openPage(): Promise<{ page: Page; ort: string[] }> {
  const page = await browser.newPage()
  const ort = watchOrt(page)
  await page.goto(server.url)
  await page.waitForFunction('globalThis.ready')
  return { page, ort }
}

it("the library gives golden outputs on backend 'webgpu', and loads nothing of ONNX Runtime", async () => {
  const { page, ort } = await openPage()
  const { cases, tolerance } = loadGolden('qwen3-mtp')
  const golden = cases.find(({ prompt_ids }) => prompt_ids.length === 17)
  if (!golden) throw new Error('the golden file has no prompt of 17 tokens')
  const { greedy_ids, greedy_gap } = golden.kv_f16
  const expected = bindingIds(greedy_ids, greedy_gap, tolerance.kv_f16.gap)
  expect(expected.length).toBeGreaterThan(4)
  const answer = await page.evaluate<{
    phases: string[]
    ids: number[]
    device: DeviceInfo
    grown: number
  }>(`(async () => {
    const phases = []
    const llm = await load({ onProgress: ({ phase }) => phases.at(-1) === phase || phases.push(phase) })
    const { token_ids: ids } = await generate(llm, ${JSON.stringify(golden.prompt_ids)}, ${expected.length})
    const { device, plannedBytes, allocatedBytes } = await llm.stats()
    await llm.dispose()
    return { phases, ids, device, grown: allocatedBytes - plannedBytes }
  })()`)
  expect(answer.ids).toEqual(expected)
  expect(answer.phases).toEqual(['fetch', 'upload', 'compile', 'ready'])
  expect(answer.device).toMatchObject({ backend: 'webgpu', adapter: { software: true }, reason: "backend is 'webgpu'" })
  expect(answer.grown).toBe(0)
  expect(ort).toEqual([])
  await page.close()
})

it('the library takes the processor rather than a software adapter, if it may choose', async () => {
  const { page, ort } = await openPage()
  const device = await page.evaluate<DeviceInfo>('LLM.probe()')
  expect(device).toMatchObject({
    backend: 'wasm',
    reason: expect.stringMatching(/^WebGPU has only a software adapter/),
  })
  expect(ort.length).toBeGreaterThan(2)
  await page.close()
})

it('ends requests with DEVICE_LOST when the GPU process dies, and loads again', async () => {
  const { page } = await openPage()
  await page.evaluate(`load().then((llm) => {
    globalThis.llm = llm
    globalThis.lost = codeOf(generate(llm, [1, 2, 3], 500))
  })`)
  const session = await browser.newBrowserCDPSession()
  await session.send('Browser.crashGpuProcess')
  expect(await page.evaluate('lost')).toBe('DEVICE_LOST')
  expect(await page.evaluate('codeOf(generate(llm, [1], 1))')).toBe('DEVICE_LOST')
  await page.evaluate('llm.dispose()')
  const { token_ids } = await page.evaluate<GenerationResult>('load().then((llm) => generate(llm, [1, 2, 3], 4))')
  expect(token_ids).toHaveLength(4)
  await page.close()
})

it('the page writes on the emulated GPU if the address says so, says that it is slow, and loads nothing of ONNX Runtime', async () => {
  const page = await browser.newPage({ viewport: VIEW })
  page.setDefaultTimeout(240_000)
  const ort = watchOrt(page)
  const errors = watchErrors(page, /^$/)
  await page.goto(`${site.url}?backend=webgpu&tokens=4`)
  await engineIs(page, 'ready')
  await storiesReach(page, ['done'], 1)
  expect(await page.getByTestId('device-note').textContent()).toContain('emulates: slow')
  expect(await page.getByTestId('b').getAttribute('placeholder')).toBe('256')
  expect(await page.getByTestId('backend').inputValue()).toBe('webgpu')
  expect(ort).toEqual([])
  expect(errors).toEqual([])
  await page.close()
})
