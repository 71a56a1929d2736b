/** `invariants.md` says where each invariant is shown; this keeps it from rotting. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'

const ROOT = new URL('../../../../', import.meta.url)
const PAGE = readFileSync(new URL('../../invariants.md', import.meta.url), 'utf8')
const INAPPLICABLE = 'does not apply: '

interface Row {
  readonly number: number
  readonly where: string
  /** from the repository's root */
  readonly files: readonly string[]
}

const rows: readonly Row[] = [...PAGE.matchAll(/^\| (\d+) \| [^|]+ \| ([^|]+) \|$/gm)].map(([, number, where = '']) => {
  const named = [...where.matchAll(/`([^`]+\.test\.ts)`/g)].map(([, file = '']) => file)
  return {
    number: Number(number),
    where,
    files: named.map((file) => (/^test\//.test(file) ? file : `test/node/${file}`)),
  }
})

/** Titles of the tests in a file: of `it('…'`, `test('…'`, and of a call of what `each` returns. */
function titlesOf(file: string): string[] {
  const source = readFileSync(new URL(file, ROOT), 'utf8')
  const calls = /(?:\b(?:it|test)|\))\(\s*(?:'((?:\\.|[^'\\\n])*)'|`([^`]*)`|"([^"\n]*)")/g
  return [...source.matchAll(calls)].map(([, single, template, double]) => single ?? template ?? double ?? '')
}

const titles = readdirSync(new URL('test/', ROOT), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .flatMap((file) => titlesOf(`test/${file}`))

describe('the table of invariants', () => {
  it('has each number from 1 to 50 once, in order', () => {
    expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 50 }, (_, i) => i + 1))
  })

  it('names for each invariant tests that carry its number, or says why it does not apply', () => {
    for (const { number, where, files } of rows) {
      if (where.startsWith(INAPPLICABLE)) {
        expect(where.length, `reason of ${number}`).toBeGreaterThan(INAPPLICABLE.length + 20)
        continue
      }
      expect(files.length, `files of ${number}`).toBeGreaterThan(0)
      for (const file of files) {
        expect(existsSync(new URL(file, ROOT)), file).toBe(true)
        expect(
          titlesOf(file).some((title) => title.includes(`(${number})`)),
          `(${number}) in ${file}`,
        ).toBe(true)
      }
    }
  })

  it('knows every number that a title carries', () => {
    const applicable = new Set(rows.filter(({ where }) => !where.startsWith(INAPPLICABLE)).map(({ number }) => number))
    for (const title of titles) {
      for (const [, number] of title.matchAll(/\((\d+)\)/g)) {
        if (Number(number) <= rows.length) expect(applicable, title).toContain(Number(number))
      }
    }
  })

  it('has a counterpart for every vLLM test that it says is different here', () => {
    const [, different = ''] = PAGE.split('Where ours decides otherwise on purpose:')
    const names = [
      ...(different.split('These have no counterpart:')[0] ?? '').matchAll(/^\| ((?:async )?test_\w+) \|/gm),
    ]
    expect(names.length).toBeGreaterThan(5)
    for (const [, name = ''] of names) {
      expect(
        titles.some((title) => title.includes(`[${name}]`)),
        name,
      ).toBe(true)
    }
  })
})
