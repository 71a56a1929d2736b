/** Traces on the built page in a real browser: written, downloaded, replayed, refused. */

import { mkdirSync, readFileSync } from 'node:fs'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FolderServer, launchBrowser, serveFolder, watchErrors } from '../helpers/browser.ts'
import { engineIs, SHOTS, storiesReach, VIEW } from '../helpers/page.ts'

let site: FolderServer

beforeAll(async () => {
  mkdirSync(SHOTS, { recursive: true })
  site = await serveFolder('site')
})

afterAll(async () => {
  await site?.close()
})

/** Has the page replay a trace and tells how that ended: a caption, or an error. */
async function replay(page: Page, name: string, trace: string): Promise<string> {
  await page.getByTestId('replay-file').setInputFiles({ name, mimeType: 'text/plain', buffer: Buffer.from(trace) })
  const ended = '#replay-result:is([data-state="done"], [data-state="failed"])'
  await page.waitForSelector(ended, { state: 'attached' })
  const failed = (await page.getByTestId('replay-result').getAttribute('data-state')) === 'failed'
  return (await page.getByTestId(failed ? 'replay-error' : 'replay-caption').textContent()) ?? ''
}

async function downloadedTrace(page: Page): Promise<string> {
  const downloading = page.waitForEvent('download')
  await page.getByTestId('download-trace').click()
  const download = await downloading
  expect(download.suggestedFilename()).toBe('weir-trace.jsonl')
  return readFileSync(await download.path(), 'utf8')
}

describe('a trace', () => {
  let trace = ''

  it('of the page’s engine is downloaded, and replayed to the same plans', async () => {
    const browser = await launchBrowser({ webgpu: false })
    try {
      const page = await browser.newPage({ viewport: VIEW, colorScheme: 'light' })
      page.setDefaultTimeout(240_000)
      const errors = watchErrors(page, /^$/)
      await page.goto(`${site.url}?tokens=8`)
      await page.getByTestId('settings').locator('summary').click()
      await page.getByTestId('trace').check()
      expect(new URL(page.url()).searchParams.get('trace')).toBe('1')
      expect(await page.getByTestId('download-trace').isDisabled()).toBe(true)
      // Gives up the load that is under way.
      await page.getByTestId('apply').click()
      await engineIs(page, 'ready')
      await page.getByTestId('replay').locator('summary').click()
      await storiesReach(page, ['done'], 1)
      trace = await downloadedTrace(page)
      const steps = trace.match(/^\["step"/gm)?.length ?? 0
      expect(steps).toBeGreaterThan(5)
      const same = `${steps} steps, ${steps} plans, all byte for byte the same.`
      expect(await replay(page, 'stories.jsonl', trace)).toBe(same)
      expect(await page.getByTestId('replay-status').textContent()).toBe('stories.jsonl')
      expect(await page.locator('#replay-result svg').getAttribute('aria-label')).toContain(`chart of ${steps} steps`)
      await page.locator('#replay').screenshot({ path: `${SHOTS}/replay.png` })

      expect(await replay(page, 'cut.jsonl', trace.slice(0, -9))).toMatch(/^TRACE_FORMAT .*the trace is cut/)
      await page.locator('#replay').screenshot({ path: `${SHOTS}/replay-refused.png` })
      expect(errors).toEqual([])
    } finally {
      await browser.close()
    }
  })

  it('of a refused step is there after the error, and says it again', async () => {
    const browser = await launchBrowser({ webgpu: false })
    try {
      const page = await browser.newPage({ viewport: VIEW, colorScheme: 'dark' })
      page.setDefaultTimeout(240_000)
      await page.goto(`${site.url}?b=32&drafts=4&adaptive=0&policy=uncharged&trace=1`)
      expect(await page.getByTestId('trace').isChecked()).toBe(true)
      await engineIs(page, 'failed')
      await page.getByTestId('replay').locator('summary').click()
      const caption = await replay(page, 'refused.jsonl', await downloadedTrace(page))
      expect(caption).toMatch(
        /^\d+ steps?, (\d+) plans, all .* the same; the plan of step \1 was refused: BUDGET_EXCEEDED\.$/,
      )
      expect(await page.locator('#replay-result rect.overrun').count()).toBeGreaterThan(0)
      await page.setViewportSize({ width: 390, height: 844 })
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(390)
      await page.locator('#replay').screenshot({ path: `${SHOTS}/replay-narrow.png` })
    } finally {
      await browser.close()
    }
  })

  it('is replayed where nothing can compute, dropped on the page, which says what is missing', async () => {
    const browser = await launchBrowser({ webgpu: false })
    try {
      const page = await browser.newPage({ viewport: VIEW })
      await page.goto(`${site.url}?backend=webgpu`)
      await engineIs(page, 'unavailable')
      expect(await page.getByTestId('banner-code').textContent()).toBe('BACKEND_UNAVAILABLE')
      expect((await page.getByTestId('banner-message').textContent())?.length).toBeGreaterThan(20)
      expect(await page.getByTestId('stories').isVisible()).toBe(false)
      await page.screenshot({ path: `${SHOTS}/no-webgpu.png` })
      const data = await page.evaluateHandle((text) => {
        const transfer = new DataTransfer()
        transfer.items.add(new File([text], 'dropped.jsonl'))
        return transfer
      }, trace)
      await page.getByTestId('replay-zone').dispatchEvent('drop', { dataTransfer: data })
      await page.getByTestId('replay-caption').waitFor()
      expect(await page.getByTestId('replay-caption').textContent()).toMatch(/all byte for byte the same\.$/)
      expect(await page.getByTestId('replay-status').textContent()).toBe('dropped.jsonl')
    } finally {
      await browser.close()
    }
  })
})
