/** Which folder a model's URL names: on a page with or without <base>, in a worker of the page's own, in Node, in an app's shell. */

import { afterEach, describe, expect, it, vi } from 'vitest'
import { LLM } from '../../src/api/llm.ts'
import { modelUrl } from '../../src/api/modelUrl.ts'
import { openModel } from '../../src/loader/source.ts'
import { errorOf } from '../helpers/connect.ts'
import { thrownBy } from '../helpers/modelFiles.ts'

afterEach(() => vi.unstubAllGlobals())

/** A page at `location`, with workers, whose document has another base where it has a `<base>`. */
function onPage(location: string, baseURI = location): void {
  vi.stubGlobal('location', { href: location })
  vi.stubGlobal('document', { baseURI })
  vi.stubGlobal('Worker', class {})
}

const STORIES = 'https://tales.test/app/stories/5'

describe('a model URL', () => {
  it.each([
    ['models/fairy-tales', 'https://tales.test/app/stories/models/fairy-tales/'],
    ['models/fairy-tales/', 'https://tales.test/app/stories/models/fairy-tales/'],
    ['/models/fairy-tales?v=2', 'https://tales.test/models/fairy-tales/?v=2'],
    ['https://other.test', 'https://other.test/'],
    [new URL('http://other.test/m'), 'http://other.test/m/'],
  ])('%s is relative to the page', (model, expected) => {
    onPage(STORIES)
    expect(modelUrl(model)).toBe(expected)
  })

  it('is relative to the base that the document names', () => {
    onPage(STORIES, 'https://tales.test/')
    expect(modelUrl('models/fairy-tales/')).toBe('https://tales.test/models/fairy-tales/')
  })

  it("is relative to the script in a worker of the page's own", () => {
    vi.stubGlobal('location', { href: 'https://tales.test/app/assets/worker.js' })
    expect(modelUrl('../models/a')).toBe('https://tales.test/app/models/a/')
  })

  it('may have the scheme that an extension or an app shell has itself', () => {
    onPage('chrome-extension://abcdef/popup.html')
    expect(modelUrl('models/a')).toBe('chrome-extension://abcdef/models/a/')
    onPage('https://tales.test/')
    expect(() => modelUrl('chrome-extension://abcdef/models/a')).toThrow(/chrome-extension: has no folders/)
  })

  it('of another realm counts as one of this realm', () => {
    expect(modelUrl({ href: 'https://tales.test/a' } as URL)).toBe('https://tales.test/a/')
  })

  const WRONG: readonly unknown[] = [
    'data:application/json,{}',
    'blob:https://tales.test/7b0e',
    'about:blank',
    'javascript:alert(1)',
    'file:///models/a/',
    'ftp://tales.test/a/',
    'https://user:secret@tales.test/a/',
    'http://',
    '',
    undefined,
    null,
    7,
    {},
    ['models/a'],
  ]

  it.each(WRONG.map((model) => [model]))('%o is refused with INVALID_OPTION before anything starts', async (model) => {
    onPage(STORIES)
    for (const ask of [LLM.load, LLM.plan]) {
      const error = await errorOf(ask(model as string))
      expect(error.code).toBe('INVALID_OPTION')
      expect(error.message).toMatch(/^model must be the URL of a folder/)
    }
  })

  it('that is relative is refused where there is nothing it could be relative to', () => {
    expect(() => modelUrl('models/a')).toThrow(/no page it could be relative to/)
    vi.stubGlobal('location', { href: 'blob:https://tales.test/7b0e' })
    expect(() => modelUrl('models/a')).toThrow(/no page it could be relative to/)
    expect(modelUrl('https://tales.test/a')).toBe('https://tales.test/a/')
  })

  it('is not repeated whole in the message', () => {
    expect(() => modelUrl(`data:,${'x'.repeat(10_000)}`)).toThrow(/^.{1,250}$/)
  })
})

it('the loader refuses what has no folders by itself too', async () => {
  for (const url of ['data:,{}', 'blob:https://tales.test/7b0e', 'about:blank', 'mailto:a@b.test']) {
    expect(await thrownBy(() => openModel(url)), url).toMatchObject({ code: 'INVALID_OPTION' })
  }
})
