/** Attention with a window and with a cap of its scores: both kernel sets, in sequence and over partials. */

import { describe, expect, test } from 'vitest'
import { ITEM_WORDS, SPLIT_KEYS } from '../../../src/kernels/attentionPlan.ts'
import { at } from '../../../src/util/math.ts'
import {
  type AttentionSizes,
  attentionCase,
  firstVisible,
  forget,
  type RaggedRequest,
  rowsOf,
} from '../../helpers/attentionCase.ts'
import { attendItems, runItems, runSerial } from '../../helpers/attentionKernels.ts'
import { FULL } from '../../helpers/full.ts'
import { expectAllClose, expectSameBits } from '../../helpers/kernelHarness.ts'

/** Rows of one, few and many, whose windows begin in different tiles and splits, on and between multiples of four. */
const REQUESTS: readonly RaggedRequest[] = [
  { rows: 1, context: 600 },
  { rows: 3, context: 258 },
  { rows: 9, context: 41 },
  { rows: 17, context: 302 },
]

/** Windows of one key, below and at a block, a tile and a split, above them, and above every context. */
const SOME: readonly AttentionSizes[] = [
  { heads: 3, kvHeads: 3, headDim: 16, kvDtype: 'f32', window: 1 },
  { heads: 4, kvHeads: 2, headDim: 64, kvDtype: 'f16', window: 24 },
  { heads: 2, kvHeads: 1, headDim: 40, kvDtype: 'f16', window: 32, softcap: 0.01 },
  { heads: 2, kvHeads: 1, headDim: 256, kvDtype: 'f16', window: 270, softcap: 3 },
  { heads: 3, kvHeads: 1, headDim: 96, kvDtype: 'f32', softcap: 50 },
]
const WINDOWS = [1, 15, 16, 17, 31, 32, 33, 100, 255, 256, 257, 280, 511, 600, 5000]
/** Every head size with a third of the windows, with and without a cap. */
const ALL: readonly AttentionSizes[] = [16, 32, 40, 64, 96, 128, 256].flatMap((headDim, index): AttentionSizes[] => [
  ...WINDOWS.filter((_, i) => i % 3 === index % 3).flatMap((window): AttentionSizes[] => [
    { heads: 2, kvHeads: 1, headDim, kvDtype: index % 2 ? 'f32' : 'f16', window },
    { heads: 3, kvHeads: 1, headDim, kvDtype: index % 2 ? 'f16' : 'f32', window, softcap: 2 },
  ]),
  { heads: 3, kvHeads: 3, headDim, kvDtype: 'f16', softcap: 0.5 },
])

describe.each(FULL ? [...SOME, ...ALL] : SOME)(
  'attention of $heads heads on $kvHeads of $headDim, $kvDtype, window $window, cap $softcap',
  (sizes) => {
    test('every path gives the reference and the same bits, and reads no slot before the windows', async () => {
      const data = attentionCase(sizes, REQUESTS, sizes.headDim + (sizes.window ?? 0))
      const serial = await runSerial(data)
      expectAllClose(serial.subarray(0, data.expected.length), data.expected, { absolute: 4e-6, relative: 1e-5 })
      expectSameBits(await runItems(data, false), serial, 'in sequence and serial')
      expectSameBits(await runItems(data, true), serial, 'merged and serial')
    })
  },
)

test('a row has the same bits in every chunk of its request, and whatever the slots before its window hold', async () => {
  const data = attentionCase({ heads: 2, kvHeads: 1, headDim: 16, kvDtype: 'f16', window: 24 }, REQUESTS, 8)
  const width = data.shape.heads * data.shape.headDim
  const together = await runSerial(data)
  let firstRow = 0
  for (const [index, { rows, context }] of REQUESTS.entries()) {
    for (let first = 0; first < rows; ) {
      const count = Math.min(rows - first, 1 + (first % 4))
      forget(data, index, firstVisible(data.shape, context - rows + first))
      const chunk = rowsOf(data, index, first, count)
      const start = (firstRow + first) * width
      const expected = together.subarray(start, start + count * width)
      const what = `rows ${first} to ${first + count} of request ${index}`
      expectSameBits((await runSerial(chunk)).subarray(0, count * width), expected, `${what}, serial`)
      for (const split of [false, true]) {
        const actual = await runItems(chunk, split, 600)
        expectSameBits(actual.subarray(0, count * width), expected, `${what}, split ${split}`)
      }
      first += count
    }
    firstRow += rows
  }
})

test('a split before the window leaves the state of no keys', async () => {
  const sizes = { heads: 2, kvHeads: 1, headDim: 16, kvDtype: 'f16', window: 24 } as const
  const data = attentionCase(sizes, [{ rows: 2, context: 800 }], 9)
  const { plan, partials } = await attendItems(data, true)
  const words = sizes.heads * (sizes.headDim + 4)
  let hidden = 0
  for (let item = 0; item < plan.itemCount; item++) {
    const [, rowCount = 0, split = 0, , firstPart = 0] = plan.items.subarray(item * ITEM_WORDS)
    if ((split + 1) * SPLIT_KEYS > firstVisible(data.shape, at(data.buffers.positions, 0))) continue
    for (let head = firstPart * sizes.heads; head < (firstPart + rowCount) * sizes.heads; head++) {
      const start = (head * words) / sizes.heads
      const state = partials.f32.subarray(start, start + words / sizes.heads)
      expect([...state]).toEqual([Math.fround(-3e38), ...new Array<number>(words / sizes.heads - 1).fill(0)])
      hidden++
    }
  }
  expect(hidden).toBe(3 * 2 * sizes.heads)
})

test('a window over a context is attention over its last keys alone, to the bit where a split begins there', async () => {
  const sizes = { heads: 2, kvHeads: 1, headDim: 32, kvDtype: 'f32' } as const
  const [window, seed] = [40, 77]
  const alone = attentionCase(sizes, [{ rows: 1, context: window }], seed)
  for (const before of FULL ? [1, 3, 32, 250, 256, 300, 512] : [3, 250, 512]) {
    // Tokens are made from the seed and their position.
    const within = attentionCase({ ...sizes, window }, [{ rows: 1, context: window + before }], seed - before)
    const buffers = { ...within.buffers, q: alone.buffers.q }
    const width = alone.expected.length
    const actual = (await runSerial({ ...within, buffers })).subarray(0, width)
    const expected = (await runSerial(alone)).subarray(0, width)
    if (before % SPLIT_KEYS === 0) expectSameBits(actual, expected, `${before} keys before`)
    expectAllClose(actual, expected, { absolute: 1e-6, relative: 0, what: `${before} keys before` })
  }
})
