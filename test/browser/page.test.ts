/**
 * The built page in a real browser without WebGPU, as a visitor uses it: stories, a comparison, settings, a refused step, small
 * screens. On the processor the page writes thousands of tokens per second, so stories are long.
 */

import { mkdirSync } from 'node:fs'
import type { Browser, Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FolderServer, launchBrowser, serveFolder, watchErrors } from '../helpers/browser.ts'
import { engineIs, SHOTS, storiesReach, VIEW } from '../helpers/page.ts'
import { lowContrast, openAll, smallTargets } from '../helpers/pageAudit.ts'

const TOKENS = 300
const WIDTHS = [320, 390, 768, 1440]

let site: FolderServer
let browser: Browser
let page: Page
let errors: string[]
/** of everything that page and workers asked for */
const origins = new Set<string>()

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true })
  site = await serveFolder('site')
  browser = await launchBrowser({ webgpu: false })
  page = await browser.newPage({ viewport: VIEW, colorScheme: 'light' })
  page.setDefaultTimeout(120_000)
  errors = watchErrors(page, /^$/)
  page.context().on('request', (request) => {
    const { origin, protocol } = new URL(request.url())
    if (protocol !== 'data:' && protocol !== 'blob:') origins.add(origin)
  })
  await page.goto(`${site.url}?tokens=${TOKENS}`)
})

afterAll(async () => {
  await browser?.close()
  await site?.close()
})

function own(): Locator {
  return page.locator('[data-testid="story"][data-own]')
}

async function text(id: string): Promise<string> {
  return (await page.getByTestId(id).textContent())?.trim() ?? ''
}

async function apply(): Promise<void> {
  await page.getByTestId('apply').click()
  await engineIs(page, 'loading')
  await engineIs(page, 'ready')
}

/** Stops the stories that are still being written, if any. */
async function stopAll(): Promise<void> {
  await page.evaluate(() => document.getElementById('stop-all')?.click())
}

describe('the page', () => {
  it('shows stories and chart at once on a desktop screen, and says that it loads', async () => {
    expect(await page.getByTestId('load-progress').isVisible()).toBe(true)
    const [stories, chart] = [
      await page.getByTestId('stories').boundingBox(),
      await page.getByTestId('chart').boundingBox(),
    ]
    expect((stories?.y ?? 0) + (stories?.height ?? 0)).toBeLessThanOrEqual(VIEW.height)
    expect((chart?.y ?? 0) + (chart?.height ?? 0)).toBeLessThanOrEqual(VIEW.height)
    expect(chart?.x).toBeGreaterThan((stories?.x ?? 0) + (stories?.width ?? 0))
    expect(await page.getByTestId('story').count()).toBe(16)
  })

  it('writes sixteen stories as soon as the model is ready, without being asked', async () => {
    await storiesReach(page, ['streaming', 'done'], 1)
    const ms = await page.evaluate(() => performance.now())
    console.log(`the page: text in all stories ${Math.round(ms)} ms after the load began`)
  })

  it('stops one of them while the others go on, and says how each ended', async () => {
    const stopped = page.getByTestId('story').nth(15)
    await stopped.getByTestId('story-act').click()
    await page.screenshot({ path: `${SHOTS}/streaming.png` })
    await page.getByTestId('chart').hover({ position: { x: 44, y: 100 } })
    await page.getByTestId('chart-tooltip').waitFor()
    expect(await text('chart-tooltip')).toMatch(/^Step \d+rows\d+ of 256/)

    await storiesReach(page, ['done', 'stopped'])
    expect(await stopped.getByTestId('story-status').textContent()).toMatch(/^stopped by you, \d+ tokens?$/)
    const ends = await page.getByTestId('story-status').allTextContents()
    expect(ends.filter((end) => end === `stopped at ${TOKENS} tokens`).length).toBeGreaterThan(4)
    for (const end of ends.slice(0, 15)) expect(end).toMatch(/^(stopped at|ended by itself,) \d+ tokens?$/)
    for (const story of await page.getByTestId('story-text').allTextContents()) {
      expect(story.trim()).not.toBe('')
      expect(story).not.toContain('\uFFFD')
    }
    expect(Number(await text('tokens-per-second'))).toBeGreaterThan(0)
    expect(Number(await text('tokens-per-step'))).toBeGreaterThan(0)
    await page.waitForFunction(() => document.getElementById('kv-blocks')?.textContent === '0')
  })

  it('says what it runs on, and why', async () => {
    expect(await text('model-name')).toBe('fairy-tales')
    expect(await text('device-name')).toBe('the processor')
    expect(await text('device-note')).toBe('because WebGPU found no adapter')
    expect(await page.getByTestId('b').getAttribute('placeholder')).toBe('256')
    expect(await page.getByTestId('adaptive').isChecked()).toBe(true)
    expect(await text('draft-choice')).toMatch(/^(no drafts|[12] drafts?): ./)
  })

  it('writes a story of the visitor’s own at Enter, in the first place; Shift and Enter begin a line', async () => {
    const prompt = page.getByTestId('prompt')
    await prompt.fill('The little mouse')
    await prompt.press('Shift+Enter')
    await prompt.pressSequentially('said')
    expect(await own().count()).toBe(0)
    await prompt.press('Enter')
    expect(await page.getByTestId('story').count()).toBe(17)
    expect(await page.getByTestId('story').first().textContent()).toContain('The little mouse\nsaid')
    await storiesReach(page, ['done', 'stopped'])
    expect(await own().getAttribute('data-state')).toBe('done')
  })

  it('compares writing at once with one after another: both times, and that the texts are identical', async () => {
    await page.getByTestId('start').click()
    await storiesReach(page, ['waiting', 'streaming', 'done'])
    await page.getByTestId('compare').click()
    await page.getByTestId('batching-progress').waitFor()
    await page.waitForFunction(() => document.getElementById('batching-verdict')?.textContent !== '')
    expect(await text('batching-error')).toBe('')
    expect(await text('batching-at-once')).toMatch(/^\d+\.\d s, \d+ tokens per second$/)
    expect(await text('batching-one-by-one')).toMatch(/^\d+\.\d s, \d+ tokens per second$/)
    expect(await text('batching-verdict')).toMatch(/At once .* All 16 texts are identical, token for token/)
    // What the comparison interrupted is written after all.
    await storiesReach(page, ['done', 'stopped'])
  })

  it('gives up a comparison that is cancelled', async () => {
    await page.getByTestId('compare').press('Enter')
    await page.waitForFunction(() => Number((document.getElementById('batching-bar') as HTMLProgressElement).value) > 0)
    await page.keyboard.press('Enter')
    await page.getByTestId('compare').waitFor()
    expect(await text('batching-verdict')).toBe('Cancelled.')
    expect(await page.getByTestId('batching-result').isVisible()).toBe(false)
    await page.screenshot({ path: `${SHOTS}/done.png` })
  })

  it('loads anew with other settings, which the address keeps, and keeps the visitor’s story', async () => {
    const written = await own().getByTestId('story-text').textContent()
    await openAll(page)
    await page.getByTestId('b').fill('32')
    await page.getByTestId('drafts').selectOption('0')
    await apply()
    expect(new URL(page.url()).search).toContain('b=32&drafts=0')
    await storiesReach(page, ['streaming', 'done'])
    expect(await own().getByTestId('story-text').textContent()).toBe(written)
    await page.waitForFunction(() => document.getElementById('acceptance-chart')?.ariaLabel?.includes('they are off'))
    expect(await text('draft-choice')).toBe('no drafts: they are off in the settings')
    await page.waitForFunction(() => /\d+ at most, limit 32/.test(document.getElementById('chart')?.ariaLabel ?? ''))
    const summary = (await page.getByTestId('chart').getAttribute('aria-label')) ?? ''
    expect(Number(/(\d+) at most/.exec(summary)?.[1])).toBeLessThanOrEqual(32)
    await stopAll()
    await storiesReach(page, ['done', 'stopped'])
  })

  it('shows a request that is refused on its own card', async () => {
    await page.getByTestId('temperature').fill('-1')
    await page.getByTestId('add').click()
    await own().first().getByTestId('story-error').waitFor()
    expect(await own().first().getByTestId('story-error-code').textContent()).toBe('INVALID_REQUEST')
    expect(await page.getByTestId('banner').isVisible()).toBe(false)
    await page.getByTestId('temperature').fill('0.8')
    await own().first().getByTestId('story-remove').click()
    expect(await own().count()).toBe(1)
  })

  it('says that a policy will be refused, shows the refused step, and works again with the exact one', async () => {
    await page.getByTestId('drafts').selectOption('4')
    await page.getByTestId('adaptive').uncheck()
    for (const policy of ['reserve', 'uncharged']) {
      await page.getByTestId('policy').selectOption(policy)
      expect(await text('policy-note')).toMatch(/^Will be refused: .*BUDGET_EXCEEDED/)
    }
    // It is ready for no longer than a step takes, which may be too short to be seen.
    await page.getByTestId('apply').click()
    await engineIs(page, 'failed')
    expect(await text('banner-code')).toBe('BUDGET_EXCEEDED')
    expect(await text('banner-message')).toMatch(/\b32\b/)
    await page.waitForFunction(() => /was refused/.test(document.getElementById('chart')?.ariaLabel ?? ''))
    await storiesReach(page, ['error', 'done'])
    await page.screenshot({ path: `${SHOTS}/refused.png` })

    expect(await text('reload')).toBe('Load with the exact policy')
    await page.getByTestId('reload').click()
    await engineIs(page, 'ready')
    expect(await page.getByTestId('banner').isVisible()).toBe(false)
    expect(await page.getByTestId('policy-note').isVisible()).toBe(false)
    await page.waitForFunction(() =>
      /^Accepted by position: draft 1 (< )?\d+ % of \d+/.test(
        document.getElementById('acceptance-chart')?.ariaLabel ?? '',
      ),
    )
    await stopAll()
    await storiesReach(page, ['done', 'stopped'])
  })

  it('compares the budget policies', async () => {
    await page.getByTestId('compare-policies').click()
    await page.waitForSelector('#policies-results:is([data-state="done"], [data-state="failed"])')
    expect(await text('policies-error')).toBe('')
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
    expect(await text('policies-status')).toContain('Run on fairy-tales')
  })

  it('fits every width, with targets for fingers on a phone and text that can be read in light and dark', async () => {
    await openAll(page)
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: VIEW.height })
      expect(await page.evaluate(() => document.documentElement.scrollWidth), `at ${width} px`).toBeLessThanOrEqual(
        width,
      )
    }
    await page.setViewportSize({ width: 390, height: 844 })
    const stories = await page.getByTestId('stories').boundingBox()
    const chart = await page.getByTestId('chart').boundingBox()
    expect((chart?.y ?? 0) - (stories?.y ?? 0) - (stories?.height ?? 0)).toBeLessThan(80)
    expect(await smallTargets(page, 44)).toEqual([])
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      expect(await lowContrast(page, 4.5), colorScheme).toEqual([])
      await page.screenshot({ path: `${SHOTS}/phone-${colorScheme}.png`, fullPage: true })
    }
    await page.setViewportSize(VIEW)
    await page.screenshot({ path: `${SHOTS}/dark.png`, fullPage: true })
  })

  it('explains nothing in a title, which no finger opens', async () => {
    expect(await page.locator('body [title]').count()).toBe(0)
  })

  it('still has the visitor’s story when the page is opened again', async () => {
    const written = await own().getByTestId('story-text').textContent()
    await page.reload()
    expect(await own().getByTestId('story-text').textContent()).toBe(written)
    expect(await own().getByTestId('story-status').textContent()).toMatch(/ \d+ tokens$/)
  })

  it('asked no other origin for anything, and left no error in the console', () => {
    expect([...origins]).toEqual([new URL(site.url).origin])
    expect(errors).toEqual([])
  })
})
