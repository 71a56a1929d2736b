import { describe, expect, test } from 'vitest'
import { ITEM_WORDS, NO_PART, planAttention } from '../../../src/kernels/attentionPlan.ts'
import { attentionCase, type RaggedRequest, rowsOf } from '../../helpers/attentionCase.ts'
import { runItems, runSerial } from '../../helpers/attentionKernels.ts'
import { expectAllClose, expectSameBits } from '../../helpers/kernelHarness.ts'

/** Lengths at the borders of tiles, blocks and splits; rows of one, few and many. */
const RAGGED: readonly RaggedRequest[] = [
  { rows: 1, context: 70 },
  { rows: 3, context: 200 },
  { rows: 17, context: 17 },
  { rows: 1, context: 513 },
  { rows: 1, context: 1 },
  { rows: 2, context: 16 },
  { rows: 1, context: 15 },
  { rows: 4, context: 257 },
  { rows: 1, context: 256 },
  { rows: 1, context: 255 },
  { rows: 5, context: 700 },
]
const SHORT: readonly RaggedRequest[] = [
  { rows: 3, context: 258 },
  { rows: 9, context: 40 },
  { rows: 1, context: 33 },
]

const SHAPES = [
  { heads: 4, kvHeads: 2, headDim: 64, kvDtype: 'f16', requests: RAGGED },
  { heads: 2, kvHeads: 1, headDim: 32, kvDtype: 'f16', requests: SHORT },
  { heads: 7, kvHeads: 1, headDim: 64, kvDtype: 'f32', requests: SHORT },
  { heads: 16, kvHeads: 8, headDim: 128, kvDtype: 'f16', requests: SHORT },
  { heads: 3, kvHeads: 3, headDim: 128, kvDtype: 'f32', requests: SHORT },
  { heads: 4, kvHeads: 2, headDim: 256, kvDtype: 'f16', requests: SHORT },
  { heads: 20, kvHeads: 1, headDim: 40, kvDtype: 'f16', requests: SHORT },
] as const

describe.each(SHAPES)('attention of $heads heads on $kvHeads of $headDim, $kvDtype', ({ requests, ...sizes }) => {
  const data = attentionCase(sizes, requests, sizes.heads * 1000 + sizes.headDim)

  test('every path gives the reference and the same bits, and reads no stale slot', async () => {
    const serial = await runSerial(data)
    expectAllClose(serial.subarray(0, data.expected.length), data.expected, { absolute: 2e-6, relative: 1e-5 })
    expectSameBits(await runItems(data, false), serial, 'in sequence and serial')
    expectSameBits(await runItems(data, true), serial, 'merged and serial')
  })
})

test('a row has the same bits alone, and with an upper bound of its position that is too high', async () => {
  const sizes = { heads: 4, kvHeads: 2, headDim: 64, kvDtype: 'f16' } as const
  const data = attentionCase(sizes, RAGGED, 5)
  const width = sizes.heads * sizes.headDim
  const together = await runSerial(data)
  let end = 0
  for (const [index, request] of RAGGED.entries()) {
    end += request.rows
    if (index % 3 !== 0) continue
    const alone = rowsOf(data, index, request.rows - 1, 1)
    const expected = together.subarray((end - 1) * width, end * width)
    expectSameBits((await runSerial(alone)).subarray(0, width), expected, `serial request ${index}`)
    for (const split of [false, true]) {
      expectSameBits((await runItems(alone, split, 600)).subarray(0, width), expected, `${index}, split ${split}`)
    }
  }
})

test('a list of whole items covers each row and split once; parts are those that merges read', () => {
  const requests = RAGGED.map(({ rows, context }, index) => ({
    firstRow: RAGGED.slice(0, index).reduce((sum, request) => sum + request.rows, 0),
    rowCount: rows,
    maxPosition: context - 1,
    split: index % 2 === 1,
  }))
  for (const group of [1, 2, 3, 7, 16, 20]) {
    const plan = planAttention(requests, group)
    expect(plan.items.length).toBe(plan.itemCount * ITEM_WORDS)
    const seen = new Set<string>()
    const left = new Set<number>()
    for (let i = 0; i < plan.items.length; i += ITEM_WORDS) {
      const [firstRow = 0, rowCount = 0, firstSplit = 0, splitCount = 0, firstPart = 0] = plan.items.subarray(i)
      expect(rowCount * group).toBeLessThanOrEqual(Math.max(16, group))
      for (let row = firstRow; row < firstRow + rowCount; row++) {
        for (let s = firstSplit; s < firstSplit + splitCount; s++) {
          expect(seen.has(`${row} ${s}`)).toBe(false)
          seen.add(`${row} ${s}`)
        }
        if (firstPart !== NO_PART) left.add(firstPart + row - firstRow)
      }
    }
    for (const { firstRow, rowCount, maxPosition } of requests) {
      for (let i = 0; i < rowCount; i++) {
        const last = Math.floor((maxPosition - (rowCount - 1 - i)) / 256)
        for (let s = 0; s <= last; s++) expect(seen.has(`${firstRow + i} ${s}`)).toBe(true)
      }
    }
    const read: number[] = []
    for (let i = 0; i < plan.mergeCount; i++) {
      const [, firstPart = 0, partStride = 0, partCount = 0] = plan.merges.subarray(i * 4)
      for (let part = 0; part < partCount; part++) read.push(firstPart + part * partStride)
    }
    expect(read.sort((a, b) => a - b)).toEqual(Array.from({ length: plan.parts }, (_, part) => part))
    expect(left.size).toBe(plan.parts)
  }
})
