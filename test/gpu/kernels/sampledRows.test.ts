/** What is known of the sampled rows before the head runs. */

import { expect, test } from 'vitest'
import { expandSampled } from '../../../src/kernels/expandSampled.ts'
import { expectPoison, randomInts, runKernel } from '../../helpers/kernelHarness.ts'

const NO_SLOT = 0xffffffff
const ROWS = 90

test.each([
  { sampled: 1, bySlot: false },
  { sampled: 1, bySlot: true },
  { sampled: 70, bySlot: false },
  { sampled: 70, bySlot: true },
])('table row, position and hidden state of $sampled sampled rows, by slot: $bySlot', async ({ sampled, bySlot }) => {
  const rowIndex = randomInts(1, sampled + 5, ROWS)
  const positions = randomInts(2, ROWS, 1000)
  const tableRows = randomInts(3, ROWS, 16)
  const slots = randomInts(4, ROWS, 4096).map((slot, row) => (row % 7 === 3 ? NO_SLOT : slot))
  const { sampledTable, sampledPositions, headRows } = await runKernel({
    variant: expandSampled,
    shape: { bySlot },
    gridRows: sampled + 5,
    pass: { rows: sampled },
    buffers: {
      rowIndex,
      positions,
      tableRows,
      slots,
      sampledTable: sampled + 5,
      sampledPositions: sampled + 5,
      headRows: sampled + 5,
    },
  })
  for (let each = 0; each < sampled; each++) {
    const row = rowIndex[each] as number
    const slot = slots[row] === NO_SLOT ? 0 : slots[row]
    expect(sampledTable?.u32[each]).toBe(tableRows[row])
    expect(sampledPositions?.u32[each]).toBe((positions[row] as number) + 1)
    expect(headRows?.u32[each]).toBe(bySlot ? slot : row)
  }
  for (const each of [sampledTable, sampledPositions, headRows]) expectPoison(each, sampled)
})
