/** The headers of the GGUF fixtures, and the digests of their tensors. */

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { decodeWeights, type WeightDtype } from '../../src/weights/decode.ts'
import { GGUF_FIXTURES } from '../helpers/folderFetch.ts'
import { ggufFixture, parsedGguf } from '../helpers/ggufWriter.ts'

describe('fixtures', () => {
  it.each(GGUF_FIXTURES)('%s: every tensor of the golden list is there, with its shape, type and values', (name) => {
    const { file, golden } = ggufFixture(name)
    const { tensors, dataStart } = parsedGguf(file)
    expect(golden.dequant.length).toBeGreaterThan(0)
    for (const [wanted, shape, digest, first, type] of golden.dequant) {
      const found = tensors.find((tensor) => tensor.name === wanted)
      expect(found).toMatchObject({ shape, type: type.toLowerCase() })
      const { offset = Number.NaN, bytes = Number.NaN } = found ?? {}
      const data = file.slice(dataStart + offset, dataStart + offset + bytes)
      if (/^(F16|BF16|F32)$/.test(type)) {
        const values = new Float32Array(shape.reduce((product, size) => product * size, 1))
        decodeWeights(data, type.toLowerCase() as WeightDtype, values)
        expect(createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex')).toBe(digest)
      }
      if (type === 'Q8_0') {
        const [scale = Number.NaN] = decoded(data.subarray(0, 2), 'f16')
        expect([...new Int8Array(data.buffer, 2, 4)].map((code) => code * scale)).toEqual(
          first.map((value) => value + 0),
        )
      }
    }
  })

  it('cover aligned data, and every type that the engine decodes', () => {
    const headers = GGUF_FIXTURES.map((name) => parsedGguf(ggufFixture(name).file))
    expect(new Set(headers.map(({ metadata }) => metadata.get('general.alignment')))).toContain(64)
    const types = new Set(headers.flatMap(({ tensors }) => tensors.map(({ type }) => type)))
    expect([...types].sort()).toEqual(
      ['bf16', 'f16', 'f32', 'q4_0', 'q4_1', 'q4_k', 'q5_0', 'q5_1', 'q5_k', 'q6_k', 'q8_0'].sort(),
    )
  })
})

function decoded(bytes: Uint8Array, dtype: WeightDtype): Float32Array {
  const values = new Float32Array(1)
  decodeWeights(bytes, dtype, values)
  return values
}
