/** The packed library in the set-ups that people use, each in a real browser: it generates what the model says. */

import { execFileSync } from 'node:child_process'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import golden from '../golden/qwen3-mtp.json' with { type: 'json' }
import { launchBrowser } from '../helpers/browser.ts'
import { ASSETS, NO_WORKERS, SETUPS } from './setups.ts'
import { copyLibrary, makeApp, packLibrary } from './workplace.ts'

/** Longer than a step of 16 rows; no token of its continuation is in doubt. */
const CASE = golden.cases.find(({ prompt_ids }) => prompt_ids.length === 17)
const EXPECTED = CASE?.kv_f16.greedy_ids ?? []
const REQUEST = { prompt_token_ids: CASE?.prompt_ids, max_tokens: EXPECTED.length }

const LOAD_MS = 120_000

let tarball: string
let browser: Browser

beforeAll(async () => {
  expect(EXPECTED.length).toBeGreaterThan(8)
  tarball = packLibrary()
  browser = await launchBrowser({ webgpu: true })
})

afterAll(() => browser?.close())

/** What `run` of the app gives. */
type Told = { readonly token_ids: readonly number[]; readonly replayed: boolean } | { readonly error: string }

it.each(Object.entries(SETUPS))('%s', async (name, setup) => {
  const [app = name] = name.split(' ')
  const folder = makeApp(app, setup, tarball)
  if (setup.assets) copyLibrary(folder, ASSETS)
  const site = await setup.open(folder)
  const page = await browser.newPage()
  try {
    await page.goto(site.url)
    await page.waitForFunction('globalThis.run', undefined, { timeout: LOAD_MS })
    const request = { ...REQUEST, ...(setup.assets && { assets: 'library/' }) }
    const told = await page.evaluate<Told>(`run('model/', ${JSON.stringify(request)})`)
    if (setup.refusal) expect(errorOf(told)).toMatch(setup.refusal)
    else expect(withoutError(told)).toEqual({ token_ids: EXPECTED, replayed: true })
  } finally {
    await page.close()
    await site.close()
  }
})

it('node', () => {
  const folder = makeApp('node', { packages: [], fixture: 'node' }, tarball)
  const told: Told = JSON.parse(execFileSync('node', ['main.js'], { cwd: folder, encoding: 'utf8' }))
  expect(errorOf(told)).toMatch(NO_WORKERS)
})

function errorOf(told: Told): string {
  return 'error' in told ? told.error : 'no error'
}

/** @throws what the app was told, so that a failed set-up says it in one line */
function withoutError(told: Told): Told {
  if ('error' in told) throw new Error(told.error)
  return told
}
