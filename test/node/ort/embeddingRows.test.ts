/** The embedding matrix in host memory: rows of every format, looked up one by one. */

import { describe, expect, it } from 'vitest'
import { EmbeddingRows } from '../../../src/ort/embeddingRows.ts'
import { formatName } from '../../../src/weights/format.ts'
import { rowBytes, sliceRows } from '../../../src/weights/rowSlices.ts'
import { ALL_FORMATS } from '../../helpers/weightFormats.ts'
import { randomMatrix } from '../../helpers/weights.ts'

const VOCAB = 37
const HIDDEN = 256
const CHUNK = 10

describe.each(ALL_FORMATS.map((format) => ({ format, name: formatName(format) })))(
  'embeddings in $name',
  ({ format }) => {
    it('are the numbers that the rows stand for, take the bytes of the rows, and nothing is written beside them', () => {
      const { rows, values } = randomMatrix(format, 7, VOCAB, HIDDEN)
      const embeddings = new EmbeddingRows(format, VOCAB, HIDDEN)
      for (let first = 0; first < VOCAB; first += CHUNK) {
        expect(embeddings.complete).toBe(false)
        const { codes, scales, ...chunk } = sliceRows(rows, first, Math.min(CHUNK, VOCAB - first))
        const lent = { ...chunk, codes: codes.slice(), scales: scales.slice() }
        embeddings.set(first, lent)
        lent.codes.fill(0xff)
        lent.scales.fill(0xff)
      }
      expect(embeddings.complete).toBe(true)
      expect(embeddings.bytes).toBe(VOCAB * rowBytes(format, HIDDEN))

      const ids = Int32Array.of(VOCAB - 1, 0, 19, 19, 5, 12)
      const out = new Float32Array((ids.length + 1) * HIDDEN).fill(Number.NaN)
      embeddings.lookUp(ids, ids.length - 1, out)
      const expected = [...ids.subarray(0, -1)].flatMap((id) => [...values.subarray(id * HIDDEN, (id + 1) * HIDDEN)])
      expect([...out]).toEqual([...expected, ...new Array(2 * HIDDEN).fill(Number.NaN)])
    })
  },
)

it('an id that is not in the vocabulary is an error', () => {
  const embeddings = new EmbeddingRows({ codes: 'f32' }, VOCAB, HIDDEN)
  for (const id of [-1, VOCAB]) {
    expect(() => embeddings.lookUp(Int32Array.of(id), 1, new Float32Array(HIDDEN))).toThrow('vocabulary')
  }
})
