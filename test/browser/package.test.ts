/**
 * The built library as pages use it: served by a plain static server without an import map, and through a bundler. `dist/` must be
 * there: `npm run build`.
 */

import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { build } from 'vite'
import { afterAll, beforeAll, expect, it } from 'vitest'
import golden from '../golden/qwen3-mtp.json' with { type: 'json' }
import { type FolderServer, launchBrowser, serveFolder } from '../helpers/browser.ts'

/** What is served. The page is not beside the library, and the model is beside the page. */
const FOLDER = 'out/package'

const PAGE = `<!doctype html><title>package</title><script type="module">
  const { LLM, WeirError } = await import(new URLSearchParams(location.search).get('library'))
  globalThis.LLM = LLM
  globalThis.codeOf = (promise) => promise.then(() => 'none', (error) => error instanceof WeirError && error.code)
  globalThis.generate = async (prompt_token_ids, max_tokens) => {
    const progress = []
    const steps = []
    const llm = await LLM.load('model', {
      maxNumBatchedTokens: 16, maxNumSeqs: 2, maxModelLen: 64, kvCacheTokens: 256,
      onProgress: ({ phase }) => progress.at(-1) === phase || progress.push(phase),
      onStep: ({ baseRows, prefillRows }) => steps.push(baseRows + prefillRows),
    })
    const generation = llm.generate({ prompt_token_ids }, { max_tokens, temperature: 0, ignore_eos: true })
    const streamed = []
    for await (const part of generation) streamed.push(...part.token_ids)
    const { token_ids, finish_reason, usage } = await generation.result()
    await llm.dispose()
    const after = await codeOf(llm.generate({ prompt_token_ids }).result())
    return { streamed, token_ids, finish_reason, usage, progress, steps, after }
  }
  globalThis.ready = true
</script>`

let server: FolderServer
let browser: Browser

beforeAll(async () => {
  if (!existsSync('dist/index.js')) throw new Error('dist/ is not built: run "npm run build" first')
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(`${FOLDER}/app`, { recursive: true })
  writeFileSync(`${FOLDER}/index.html`, '<!doctype html><title>package</title>')
  writeFileSync(`${FOLDER}/app/page.html`, PAGE)
  cpSync('public/models/qwen3-mtp', `${FOLDER}/app/model`, { recursive: true })
  cpSync('dist', `${FOLDER}/lib`, { recursive: true })
  server = await serveFolder(FOLDER)
  browser = await launchBrowser({ webgpu: false })
})

afterAll(async () => {
  await browser?.close()
  await server?.close()
})

async function openPage(library = 'lib/index.js') {
  const page = await browser.newPage()
  const errors: string[] = []
  page.on('pageerror', (error) => errors.push(error.message))
  await page.goto(`${server.url}app/page.html?library=/${library}`)
  await page.waitForFunction('globalThis.ready')
  return { page, errors }
}

it('loads a model beside the page and generates what the model says', async () => {
  const { page, errors } = await openPage()
  // Longer than a step of 16 rows, so it is computed in two chunks.
  const golden17 = golden.cases.find(({ prompt_ids }) => prompt_ids.length === 17)
  if (!golden17) throw new Error('golden.json has no prompt of 17 tokens')
  const { greedy_ids, greedy_gap } = golden17.kv_exact
  const unsure = greedy_gap.findIndex((gap) => gap < golden.tolerance.kv_exact.gap)
  const expected = unsure < 0 ? greedy_ids : greedy_ids.slice(0, unsure)
  expect(expected.length).toBeGreaterThan(4)

  const answer = await page.evaluate<{
    streamed: number[]
    token_ids: number[]
    finish_reason: string
    usage: { prompt_tokens: number; completion_tokens: number }
    progress: string[]
    steps: number[]
    after: string
  }>(`generate(${JSON.stringify(golden17.prompt_ids)}, ${expected.length})`)

  expect(answer.token_ids).toEqual(expected)
  expect(answer.streamed).toEqual(expected)
  expect(answer.finish_reason).toBe('length')
  expect(answer.usage).toMatchObject({ prompt_tokens: golden17.prompt_ids.length, completion_tokens: expected.length })
  expect(answer.progress).toEqual(['fetch', 'compile', 'ready'])
  // Every row but that of the last token, which nothing follows.
  expect(answer.steps.reduce((sum, rows) => sum + rows, 0)).toBe(golden17.prompt_ids.length + expected.length - 1)
  expect(answer.after).toBe('DISPOSED')
  expect(errors).toEqual([])
  await page.close()
})

it('keeps the codes of errors across the worker', async () => {
  const { page, errors } = await openPage()
  const codeOf = (call: string) => page.evaluate(`codeOf(${call})`)
  expect(await codeOf("LLM.load('nowhere')")).toBe('MODEL_FETCH')
  expect(await codeOf("LLM.load('model', { maxModelLen: 4096 })")).toBe('INVALID_OPTION')
  expect(await codeOf("LLM.load('model', { maxNumSeq: 4 })")).toBe('INVALID_OPTION')
  expect(await codeOf("LLM.load('model', { backend: 'gpu' })")).toBe('INVALID_OPTION')
  expect(await codeOf("LLM.load('model', { kvCacheDtype: 'f16' })")).toBe('INVALID_OPTION')
  expect(await codeOf("LLM.load('model', { signal: AbortSignal.abort() })")).toBe('ABORTED')
  expect(await codeOf("LLM.load('http://')")).toBe('INVALID_OPTION')
  expect(await codeOf('LLM.probe()')).toBe('none')
  expect(await codeOf("LLM.replay('')")).toBe('TRACE_FORMAT')
  const plan = await page.evaluate<{ totalBytes: number; weightBytes: number }>("LLM.plan('model')")
  expect(plan.totalBytes).toBeGreaterThan(plan.weightBytes)
  expect(errors).toEqual([])
  await page.close()
})

it('takes what is behind proxies, and signals and objects of another window', async () => {
  const { page, errors } = await openPage()
  const answer = await page.evaluate<{
    codes: string[]
    ids: number
    partial: number
    warnings: string[]
  }>(`(async () => {
    const other = document.body.appendChild(document.createElement('iframe')).contentWindow
    const wrap = (object) => new Proxy(object, {
      get: (target, key, receiver) => {
        const value = Reflect.get(target, key, receiver)
        return ['[object Object]', '[object Array]'].includes(Object.prototype.toString.call(value)) ? wrap(value) : value
      },
    })
    const warnings = []
    const llm = wrap(await LLM.load('model', wrap({
      maxModelLen: 64, kvCacheTokens: 256, debug: { steps: true },
      onWarning: ({ code }) => warnings.push(code), signal: new other.AbortController().signal,
    })))
    const options = other.eval('({ max_tokens: 4, logit_bias: { 5: 1 }, stop_token_ids: [9] })')
    const { token_ids } = await llm.generate(wrap({ prompt_token_ids: [1, 2, 3] }), wrap(options)).result()
    const controller = new other.AbortController()
    const long = wrap(llm.generate({ prompt_token_ids: new Int32Array([1, 2]) }, { signal: controller.signal, ignore_eos: true }))
    const stopped = (async () => {
      for await (const _ of long) controller.abort()
    })().catch((error) => error)
    const codes = [
      await codeOf(llm.generate({ prompt_token_ids: [1] }, { signal: wrap(new AbortController().signal) }).result()),
      await codeOf(llm.generate({ prompt_token_ids: [1] }, { signal: new AbortController() }).result()),
      await codeOf(LLM.plan('model', { signal: other.AbortSignal.abort() })),
      await codeOf(LLM.load('model', { signal: other.AbortSignal.abort() })),
    ]
    const { code, partial } = await stopped
    await llm.dispose()
    codes.push(code)
    return { codes, ids: token_ids.length, partial: partial?.token_ids.length, warnings }
  })()`)
  expect(answer.codes).toEqual(['INVALID_REQUEST', 'INVALID_REQUEST', 'ABORTED', 'ABORTED', 'ABORTED'])
  expect(answer.ids).toBeGreaterThan(0)
  expect(answer.partial).toBeGreaterThan(0)
  expect(answer.warnings).toEqual(['NO_TOKENIZER'])
  expect(errors).toEqual([])
  await page.close()
})

it('works when a bundler has packed it', async () => {
  mkdirSync(`${FOLDER}/source`)
  writeFileSync(`${FOLDER}/source/main.js`, "export { LLM, WeirError } from '../lib/index.js'")
  await build({
    root: `${FOLDER}/source`,
    configFile: false,
    logLevel: 'warn',
    base: '/bundled/',
    build: {
      outDir: '../bundled',
      emptyOutDir: true,
      rolldownOptions: {
        input: `${FOLDER}/source/main.js`,
        preserveEntrySignatures: 'strict',
        output: { entryFileNames: 'main.js' },
      },
    },
  })
  const { page, errors } = await openPage('bundled/main.js')
  const answer = await page.evaluate<{ token_ids: number[] }>('generate([1, 2, 3], 2)')
  expect(answer.token_ids).toHaveLength(2)
  // What the worker loads when asked has found its place too.
  expect(await page.evaluate("codeOf(LLM.replay(''))")).toBe('TRACE_FORMAT')
  expect(errors).toEqual([])
  await page.close()
})
