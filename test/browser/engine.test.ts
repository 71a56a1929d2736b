/** The built library on the processor in a real browser: golden outputs of both models in one batch each. */

import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { GenerationResult } from '../../src/index.ts'
import { type FolderServer, launchBrowser, serveFolder } from '../helpers/browser.ts'
import type { ModelName } from '../helpers/folderFetch.ts'
import { bindingIds, loadGolden } from '../helpers/golden.ts'
import { checkSteps } from '../helpers/goldenRun.ts'

const FOLDER = 'out/engine'

const PAGE = `<!doctype html><title>engine</title><script type="module">
  const { LLM } = await import('/lib/index.js')
  globalThis.LLM = LLM
  globalThis.runCases = async (model, prompts, tokens, options) => {
    const llm = await LLM.load(model, options)
    const fields = { temperature: 0, ignore_eos: true }
    const results = await Promise.all(prompts.map((prompt_token_ids, index) =>
      llm.generate({ prompt_token_ids }, { ...fields, max_tokens: tokens[index] }).result()))
    const { kernels, batchInvariant } = await llm.stats()
    await llm.dispose()
    return { results, kernels, batchInvariant }
  }
  globalThis.ready = true
</script>`

let server: FolderServer
let browser: Browser

beforeAll(async () => {
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(`${FOLDER}/index.html`, PAGE)
  cpSync('public/models', `${FOLDER}/models`, { recursive: true })
  cpSync('dist', `${FOLDER}/lib`, { recursive: true })
  server = await serveFolder(FOLDER)
  browser = await launchBrowser({ webgpu: false })
})

afterAll(async () => {
  await browser?.close()
  await server?.close()
})

async function openPage(): Promise<Page> {
  const page = await browser.newPage()
  await page.goto(server.url)
  await page.waitForFunction('globalThis.ready')
  return page
}

interface Run {
  readonly results: readonly GenerationResult[]
  readonly kernels: Record<string, string>
  readonly batchInvariant: boolean
}

it.each<ModelName>(['qwen3-mtp', 'fairy-tales'])(
  '%s gives its golden outputs, all prompts in one batch',
  async (model) => {
    const golden = loadGolden(model)
    // The longest prompts are for Node.
    const cases = golden.cases.filter((each) => each.prompt_ids.length <= 340)
    const tolerance = golden.tolerance.kv_exact.gap
    const options = {
      maxNumBatchedTokens: 128,
      maxNumSeqs: 16,
      maxModelLen: 416,
      kvCacheTokens: 4096,
      speculative: { method: 'mtp', numSpeculativeTokens: 4, adaptive: false },
      debug: { steps: true },
    }
    const prompts = cases.map((each) => each.prompt_ids)
    const tokens = cases.map((each) => each.kv_exact.greedy_ids.length)
    const page = await openPage()
    const call = `runCases(${JSON.stringify(`models/${model}/`)}, ${JSON.stringify(prompts)}, ${JSON.stringify(tokens)}, ${JSON.stringify(options)})`
    const run = await page.evaluate<Run>(call)
    const compared = { ids: 0, drafts: 0, accepted: 0 }
    cases.forEach((each, index) => {
      const result = run.results[index]
      const binding = bindingIds(each.kv_exact.greedy_ids, each.kv_exact.greedy_gap, tolerance)
      expect(result?.token_ids.slice(0, binding.length), `case ${index}`).toEqual(binding)
      const bound = each.prompt_ids.length + binding.length
      checkSteps(result?.debug?.steps ?? [], each, each.kv_exact, bound, tolerance, compared)
    })
    expect(compared.drafts).toBeGreaterThan(cases.length * 8)
    expect(run.batchInvariant).toBe(true)
    expect(run.kernels).toEqual({ linear: 'onnxruntime', attention: 'simd' })
    await page.close()
  },
)
