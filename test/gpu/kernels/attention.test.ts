import { describe, expect, test } from 'vitest'
import { attentionMerge } from '../../../src/kernels/attentionMerge.ts'
import { ITEM_WORDS, NO_PART, planAttention } from '../../../src/kernels/attentionPlan.ts'
import { pagedAttention, partialWords } from '../../../src/kernels/pagedAttention.ts'
import { pagedAttentionSerial } from '../../../src/kernels/pagedAttentionSerial.ts'
import { type AttentionCase, attentionCase, type RaggedRequest, SPARE_ROWS } from '../../helpers/attentionCase.ts'
import { expectAllClose, expectPoison, expectSameBits, POISON, runKernel } from '../../helpers/kernelHarness.ts'

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
  let firstRow = 0
  for (const [index, request] of RAGGED.entries()) {
    if (index % 3 === 0) {
      const row = firstRow + request.rows - 1
      const alone: AttentionCase = {
        ...data,
        requests: [{ rows: 1, context: request.context }],
        rows: 1,
        buffers: {
          ...data.buffers,
          positions: data.buffers.positions.slice(row),
          tableRows: data.buffers.tableRows.slice(row),
          q: data.buffers.q.slice(row * width),
        },
      }
      const expected = together.subarray(row * width, (row + 1) * width)
      expectSameBits((await runSerial(alone)).subarray(0, width), expected, `serial row ${row}`)
      for (const split of [false, true]) {
        expectSameBits((await runItems(alone, split, 600)).subarray(0, width), expected, `row ${row}, split ${split}`)
      }
    }
    firstRow += request.rows
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

async function runSerial(data: AttentionCase): Promise<Float32Array> {
  const buffers = { ...data.buffers, out: outWords(data) }
  const pass = { rows: data.rows }
  return checked(data, await runKernel({ variant: pagedAttentionSerial, shape: data.shape, pass, buffers }))
}

/** The workgroup variant over its work list, and the merge of what it left. `slack` is added to the bound of positions. */
async function runItems(data: AttentionCase, split: boolean, slack = 0): Promise<Float32Array> {
  const { shape, rows } = data
  let firstRow = 0
  const requests = data.requests.map((request) => {
    const planned = { firstRow, rowCount: request.rows, maxPosition: request.context - 1 + slack, split }
    firstRow += request.rows
    return planned
  })
  const { items, itemCount, merges, mergeCount, parts } = planAttention(requests, shape.heads / shape.kvHeads)
  expect(parts > 0).toBe(split)
  const pass = { rows, items: itemCount, merges: mergeCount }
  const partials = (parts + 1) * partialWords(shape)
  const attended = await runKernel({
    variant: pagedAttention,
    shape,
    pass,
    gridRows: itemCount + 1,
    buffers: { ...data.buffers, items, out: outWords(data), partials },
  })
  expectPoison(attended.partials, parts * partialWords(shape))
  expect(attended.partials?.u32.subarray(0, parts * partialWords(shape)).includes(POISON)).toBe(false)
  if (!split) return checked(data, attended)
  const merged = await runKernel({
    variant: attentionMerge,
    shape,
    pass,
    gridRows: mergeCount + 1,
    buffers: { merges, partials: attended.partials?.f32 ?? 0, out: attended.out?.f32 ?? 0 },
  })
  return checked(data, merged)
}

/** `out`; rows past the pass must be untouched. */
function checked(data: AttentionCase, written: Awaited<ReturnType<typeof runKernel>>): Float32Array {
  expectPoison(written.out, data.expected.length)
  return written.out?.f32 ?? new Float32Array()
}

function outWords({ shape, rows }: AttentionCase): number {
  return (rows + SPARE_ROWS) * shape.heads * shape.headDim
}
