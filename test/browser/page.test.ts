/** The built page in a real browser, as a visitor uses it: stories, settings, a refused step, the comparison, no WebGPU. */

import { mkdirSync } from 'node:fs'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FolderServer, launchBrowser, serveFolder, watchErrors } from '../helpers/browser.ts'
import { engineIs, SHOTS, storiesReach, VIEW } from '../helpers/page.ts'

const TOKENS = 32

let site: FolderServer

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true })
  site = await serveFolder('site')
})

afterAll(async () => {
  await site?.close()
})

function states(stories: Locator): Promise<(string | undefined)[]> {
  return stories.evaluateAll((cards) => cards.map((card) => (card instanceof HTMLElement ? card.dataset.state : '')))
}

describe('the page with a WebGPU adapter', () => {
  let browser: Browser
  let page: Page
  let errors: string[]

  beforeAll(async () => {
    browser = await launchBrowser({ webgpu: true })
    page = await browser.newPage({ viewport: VIEW, colorScheme: 'light' })
    page.setDefaultTimeout(240_000)
    errors = watchErrors(page, /\/models\/qwen3-mtp\/(tokenizer|tokenizer_config|generation_config)\.json$/)
    await page.goto(`${site.url}?tokens=${TOKENS}`)
    await engineIs(page, 'ready')
  })

  afterAll(async () => {
    await browser?.close()
  })

  it('loads the embedded model and says that a software adapter got a smaller B', async () => {
    expect(await page.getByTestId('model-name').textContent()).toBe('fairy-tales')
    expect(await page.getByTestId('software-note').textContent()).toContain('B = 64')
    expect(await page.getByTestId('b').getAttribute('placeholder')).toBe('64')
    expect(await page.getByTestId('story').count()).toBe(16)
    expect(await page.getByTestId('acceptance-chart').getAttribute('aria-label')).toBe('No drafts verified yet.')
    expect(await page.getByTestId('draft-choice').textContent()).toBe('2 drafts: always, whether they pay or not')
    await page.screenshot({ path: `${SHOTS}/ready.png` })
  })

  it('streams sixteen stories, one of which is stopped while the others go on to their end', async () => {
    const stories = page.getByTestId('story')
    await page.getByTestId('start').click()
    await storiesReach(page, ['streaming', 'done'], 1)
    expect(await page.getByTestId('stories-summary').textContent()).toContain('streaming')
    await page.screenshot({ path: `${SHOTS}/streaming.png` })
    const index = (await states(stories)).lastIndexOf('streaming')
    const stopped = stories.nth(index)
    await stopped.getByTestId('story-stop').click()
    await page.getByTestId('chart').hover({ position: { x: 44, y: 100 } })
    await page.getByTestId('chart-tooltip').waitFor()
    expect(await page.getByTestId('chart-tooltip').textContent()).toMatch(/^Step \d+rows\d+ of 64/)

    await storiesReach(page, ['done', 'stopped'])
    const ends = await states(stories)
    expect(ends.filter((state) => state === 'done')).toHaveLength(15)
    expect(ends[index]).toBe('stopped')
    expect(Number(await stopped.getAttribute('data-tokens'))).toBeLessThan(TOKENS)
    for (const text of await page.getByTestId('story-text').allTextContents()) {
      expect(text.trim()).not.toBe('')
      expect(text).not.toContain('\uFFFD')
    }
    expect(Number(await page.getByTestId('tokens-per-second').textContent())).toBeGreaterThan(0)
    expect(Number(await page.getByTestId('tokens-per-step').textContent())).toBeGreaterThan(0)
    expect(await page.getByTestId('acceptance').textContent()).toMatch(/^\d+ %$/)
    await page.waitForFunction(() => document.getElementById('kv-blocks')?.textContent === '0')
    const acceptance = (await page.getByTestId('acceptance-chart').getAttribute('aria-label')) ?? ''
    const trials = [...acceptance.matchAll(/draft \d (?:< )?\d+ % of ([\d,]+)/g)].map(([, count = '']) =>
      Number(count.replace(',', '')),
    )
    expect(trials).toHaveLength(2)
    // The stories that went on have 31 tokens from drafts and after them.
    expect(trials[0]).toBeGreaterThan(15 * 10)
    expect(trials[1]).toBeLessThanOrEqual(trials[0] ?? 0)
    const meanLength = Number(await page.getByTestId('mean-length').textContent())
    expect(meanLength).toBeGreaterThan(1)
    expect(meanLength).toBeLessThan(3)
    await page.screenshot({ path: `${SHOTS}/done.png`, fullPage: true })
  })

  it('adds a story with a prompt of the visitor’s own', async () => {
    await page.getByTestId('prompt').fill('The little mouse said to the elephant')
    await page.getByTestId('add').click()
    expect(await page.getByTestId('story').count()).toBe(17)
    const added = page.getByTestId('story').nth(16)
    await storiesReach(page, ['done', 'stopped'], 1)
    expect(await added.getAttribute('data-state')).toBe('done')
    expect(await added.textContent()).toContain('The little mouse said to the elephant')
  })

  it('reloads the engine with another B, which the address keeps and no step exceeds', async () => {
    await page.getByTestId('b').fill('32')
    await page.getByTestId('apply').click()
    await engineIs(page, 'loading')
    await engineIs(page, 'ready')
    expect(new URL(page.url()).searchParams.get('b')).toBe('32')
    await page.getByTestId('start').click()
    await storiesReach(page, ['streaming', 'done'], 1)
    const summary = (await page.getByTestId('chart').getAttribute('aria-label')) ?? ''
    const [, most, limit] = /(\d+) at most, limit (\d+)/.exec(summary) ?? []
    expect(limit).toBe('32')
    expect(Number(most)).toBeLessThanOrEqual(32)
    expect(Number(most)).toBeGreaterThan(16)
    await page.getByTestId('stop-all').click()
    await storiesReach(page, ['done', 'stopped'])
  })

  it('chooses the number of drafts where it is asked to, and says what it chose and why', async () => {
    await page.getByTestId('drafts').selectOption('4')
    await page.getByTestId('adaptive').check()
    await page.getByTestId('apply').click()
    await engineIs(page, 'loading')
    await engineIs(page, 'ready')
    expect(new URL(page.url()).searchParams.get('adaptive')).toBe('1')
    await page.getByTestId('start').click()
    await storiesReach(page, ['streaming', 'done'], 4)
    await page.waitForFunction(() =>
      /^(no drafts|[1-4] drafts?): ./.test(document.getElementById('draft-choice')?.textContent ?? ''),
    )
    await page.screenshot({ path: `${SHOTS}/adaptive.png` })
    await page.getByTestId('stop-all').click()
    await storiesReach(page, ['done', 'stopped'])
    await page.getByTestId('adaptive').uncheck()
  })

  it('says that speculation is off where there are no drafts', async () => {
    await page.getByTestId('drafts').selectOption('0')
    await page.getByTestId('apply').click()
    await engineIs(page, 'loading')
    await engineIs(page, 'ready')
    await page.waitForFunction(() => document.getElementById('acceptance-chart')?.ariaLabel === 'Speculation is off.')
    expect(await page.getByTestId('draft-choice').textContent()).toContain('Set Drafts to 1 or more')
    expect(await page.getByTestId('mean-length').textContent()).toBe('–')
  })

  it('shows a request that is refused on its own card', async () => {
    await page.getByTestId('temperature').fill('-1')
    await page.getByTestId('add').click()
    const last = page.getByTestId('story').last()
    await last.getByTestId('story-error').waitFor()
    expect(await last.getByTestId('story-error-code').textContent()).toBe('INVALID_REQUEST')
    expect(await page.getByTestId('banner').isVisible()).toBe(false)
    await page.getByTestId('temperature').fill('0.8')
  })

  it('shows a refused step in red, and works again after a reload', async () => {
    await page.getByTestId('policy').selectOption('uncharged')
    await page.getByTestId('drafts').selectOption('4')
    await page.getByTestId('apply').click()
    await engineIs(page, 'loading')
    await engineIs(page, 'ready')
    await page.getByTestId('start').click()
    await engineIs(page, 'failed')
    expect(await page.getByTestId('banner-code').textContent()).toBe('BUDGET_EXCEEDED')
    expect(await page.getByTestId('banner-message').textContent()).toMatch(/\b32\b/)
    await page.waitForFunction(() => /was refused/.test(document.getElementById('chart')?.ariaLabel ?? ''))
    await storiesReach(page, ['error', 'done'])
    await page.screenshot({ path: `${SHOTS}/refused.png` })

    await page.getByTestId('policy').selectOption('exact')
    await page.getByTestId('reload').click()
    await engineIs(page, 'ready')
    expect(await page.getByTestId('banner').isVisible()).toBe(false)
    await page.getByTestId('add').click()
    await storiesReach(page, ['done', 'error'])
    expect(await page.getByTestId('story').last().getAttribute('data-state')).toBe('done')
  })

  it('compares the budget policies', async () => {
    await page.getByTestId('compare').click()
    await page.waitForSelector('#comparison-results:is([data-state="done"], [data-state="failed"])')
    expect(await page.getByTestId('comparison-error').textContent()).toBe('')
    const runs = page.getByTestId('policy-run')
    expect(await runs.count()).toBe(4)
    const captions = await page.getByTestId('policy-caption').allTextContents()
    expect(captions[0]).toMatch(/^Fills the line/)
    const [, least, most] = /^Leaves (\d+) to (\d+) rows unused/.exec(captions[1] ?? '') ?? []
    expect(Number(least)).toBeGreaterThanOrEqual(52)
    expect(Number(most)).toBeLessThanOrEqual(64)
    expect(captions[2]).toMatch(/^Stopped in step 2: 579 rows/)
    expect(captions[3]).toMatch(/^Stopped in step 2: 259 rows.*Exactly like uncharged/)
    expect(await page.getByTestId('refusal').allTextContents()).toEqual(['BUDGET_EXCEEDED', 'BUDGET_EXCEEDED'])
    const red = await runs.evaluateAll((figures) =>
      figures.map((figure) => figure.querySelectorAll('rect.overrun').length),
    )
    expect(red).toEqual([0, 0, 1, 1])
    expect(await page.getByTestId('comparison-status').textContent()).toContain('software adapter')
    await page.locator('section[aria-labelledby="comparison-title"]').screenshot({ path: `${SHOTS}/comparison.png` })
  })

  it('draws in the dark and on a narrow screen without anything sticking out', async () => {
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.screenshot({ path: `${SHOTS}/dark.png`, fullPage: true })
    await page.setViewportSize({ width: 390, height: 844 })
    await page.screenshot({ path: `${SHOTS}/narrow.png`, fullPage: true })
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390)
  })

  it('left no error in the console', () => {
    expect(errors).toEqual([])
  })
})

describe('the page without a WebGPU adapter', () => {
  it('says so, why, and what to do', async () => {
    const browser = await launchBrowser({ webgpu: false })
    try {
      const page = await browser.newPage({ viewport: VIEW })
      await page.goto(site.url)
      await engineIs(page, 'unavailable')
      expect(await page.getByTestId('banner-code').textContent()).toBe('BACKEND_UNAVAILABLE')
      expect((await page.getByTestId('banner-message').textContent())?.length).toBeGreaterThan(20)
      expect(await page.getByTestId('webgpu-help').isVisible()).toBe(true)
      expect(await page.getByTestId('start').isDisabled()).toBe(true)
      await page.screenshot({ path: `${SHOTS}/no-webgpu.png` })
    } finally {
      await browser.close()
    }
  })
})
