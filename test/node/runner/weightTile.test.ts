/** A tile of 32 columns: where the words of each column go, in every format. */

import { describe, expect, it } from 'vitest'
import { storedBytes, tileBytes, WeightTile } from '../../../src/kernels/weights.ts'
import { codeBytes, formatName, scaleWords } from '../../../src/weights/format.ts'
import { bytesOfRow } from '../../helpers/drawnWeights.ts'
import { randomInts } from '../../helpers/random.ts'
import { expectSameWords, tiled, wordSize } from '../../helpers/uploadTarget.ts'
import { BF16, F16, F32, QUANTISED_FORMATS } from '../../helpers/weightFormats.ts'

/** Inputs that every format has whole groups of, and twice. */
const INPUTS = 512

const NAMED = [BF16, F16, F32, ...QUANTISED_FORMATS].map((format) => [formatName(format), format] as const)

describe.each(NAMED)('a tile of %s', (_, format) => {
  const words = (column: number, count: number) => randomInts(1000 * count + column, count, 2 ** 32)
  const codes = (column: number) => words(column, codeBytes(format, INPUTS) / 4)
  const scales = (column: number) => words(column, scaleWords(format, INPUTS))

  it('holds its columns word by word beside each other, in whatever order they were set', () => {
    const tile = new WeightTile(format, INPUTS)
    const columns = Array.from({ length: 32 }, (_, column) => column)
    for (const i of columns) tile.setColumn((7 * i + 3) % 32, codes((7 * i + 3) % 32), scales((7 * i + 3) % 32))
    expectSameWords(tile.codes, tiled(columns.map(codes), wordSize(format)), 'codes')
    expectSameWords(tile.scales, tiled(columns.map(scales), 1), 'scales')
  })

  it('set again holds the last row, and cleared none', () => {
    const tile = new WeightTile(format, INPUTS)
    tile.setColumn(31, codes(1), scales(1))
    tile.setColumn(31, codes(2), scales(2))
    const columns = [...Array.from({ length: 31 }, () => codes(0).fill(0)), codes(2)]
    expectSameWords(tile.codes, tiled(columns, wordSize(format)), 'codes')
    tile.clear()
    expect(tile.codes.some((word) => word !== 0) || tile.scales.some((word) => word !== 0)).toBe(false)
  })

  it('takes 32 rows of bytes, and a matrix as many tiles as its columns begin', () => {
    const row = bytesOfRow(format, INPUTS)
    const tile = { codes: 32 * row.codes, scales: 32 * row.scales }
    expect(tileBytes(format, INPUTS)).toEqual(tile)
    const { codes, scales } = new WeightTile(format, INPUTS)
    expect([codes.byteLength, scales.byteLength]).toEqual([tile.codes, tile.scales])
    for (const [columns, tiles] of [
      [1, 1],
      [32, 1],
      [33, 2],
      [1003, 32],
    ] as const) {
      const expected = { codes: tiles * tile.codes, scales: tiles * tile.scales }
      expect(storedBytes(format, INPUTS, columns)).toEqual(expected)
    }
  })
})

it('inputs that do not fill whole words are refused', () => {
  expect(() => tileBytes(BF16, 6)).toThrow(/6 inputs fill whole words of bf16/)
  expect(() => tileBytes(F32, 3)).toThrow(/whole words/)
})
