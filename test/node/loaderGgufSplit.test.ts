/** Names of the files of a split GGUF model. */

import { describe, expect, it } from 'vitest'
import { splitNames } from '../../src/loader/ggufSplit.ts'
import type { GgufValue } from '../../src/models/ggufFields.ts'
import { thrownBy } from '../helpers/modelFiles.ts'

describe('splitNames', () => {
  const part = (no: number, count: number) =>
    new Map<string, GgufValue>([
      ['split.no', no],
      ['split.count', count],
    ])

  it('lists the parts in order, whichever is asked', () => {
    const names = ['a-00001-of-00003.gguf', 'a-00002-of-00003.gguf', 'a-00003-of-00003.gguf']
    for (const [no, name] of names.entries()) expect(splitNames(name, part(no, 3))).toEqual(names)
    expect(splitNames('a.gguf', new Map())).toEqual(['a.gguf'])
    expect(splitNames('a.gguf', part(0, 1))).toEqual(['a.gguf'])
    expect(splitNames('dir/a-00001-of-00001.gguf', part(0, 1))).toEqual(['dir/a-00001-of-00001.gguf'])
  })

  it.each<[string, string, Map<string, GgufValue>, string]>([
    ['another number', 'a-00002-of-00003.gguf', part(0, 3), 'is part 1 of 3, by its metadata; give it back the name'],
    ['another count', 'a-00001-of-00002.gguf', part(0, 3), 'is part 1 of 3'],
    ['no metadata', 'a-00001-of-00002.gguf', new Map(), 'is part 1 of 1'],
    [
      'no number',
      'a.gguf',
      part(1, 3),
      'is part 2 of 3, by its metadata; all parts must be there, each named as NAME-00002-of-00003.gguf',
    ],
    ['no part', 'a.gguf', part(0, 0), 'split.count is 0'],
    ['a fraction', 'a.gguf', part(0, 1.5), 'split.count is 1.5'],
  ])('refuses %s', async (_, name, metadata, message) => {
    const error = await thrownBy(() => splitNames(name, metadata))
    expect(error).toMatchObject({ code: 'MODEL_FORMAT' })
    expect(error.message).toContain(message)
  })
})
