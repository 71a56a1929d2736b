/** The kernels around the drafter's KV pass: hidden states from their slots, and the rows of the pass. */

import { expect, test } from 'vitest'
import { expandDrafter } from '../../../src/kernels/expandDrafter.ts'
import { gatherRows } from '../../../src/kernels/gatherRows.ts'
import { REQUEST_WORDS, RESULT_WORDS } from '../../../src/runner/packPlan.ts'
import { expectPoison, expectSameBits, POISON, randomInts, runKernel } from '../../helpers/kernelHarness.ts'

const NO_SLOT = 0xffffffff
const BLOCK_SIZE = 16

/** Rows of small integers, each word another one. */
function rowsOf(rows: number, size: number): Float32Array {
  return Float32Array.from({ length: rows * size }, (_, i) => i + 1)
}

const SIZES = [
  { rows: 1, size: 4 },
  { rows: 7, size: 100 },
  // more groups of four than a workgroup has invocations
  { rows: 33, size: 260 },
]

test.each(SIZES)('$rows rows of $size are gathered; without an index nothing is written', async ({ rows, size }) => {
  const slots = Uint32Array.from({ length: rows + 3 }, (_, row) => (row % 5 === 3 ? NO_SLOT : 2 * (rows + 2 - row)))
  const x = rowsOf(2 * (rows + 3), size)
  const { out } = await runKernel({
    variant: gatherRows,
    shape: { size },
    gridRows: rows + 3,
    pass: { rows },
    buffers: { rowIndex: slots, x, out: (rows + 3) * size },
  })
  for (let row = 0; row < rows; row++) {
    const slot = slots[row] as number
    const written = out?.f32.subarray(row * size, (row + 1) * size)
    if (slot !== NO_SLOT) expectSameBits(written, x.subarray(slot * size, (slot + 1) * size))
    else
      expect([...(out?.u32.subarray(row * size, (row + 1) * size) ?? [])].every((each) => each === POISON)).toBe(true)
  }
  expectPoison(out, rows * size)
})

interface Case {
  readonly tableRow: number
  readonly n: number
  readonly k: number
  readonly samples: boolean
  readonly follows: boolean
  /** of its first row */
  readonly position: number
  readonly catchUp: number
  readonly accepted: number
  readonly numericError?: boolean
}

test('the rows of the KV pass are those caught up on, then those that follow, up to the accepted one', async () => {
  const maxBlocks = 9
  const cases: readonly Case[] = [
    // a chunk in the middle, one at the end, decoding with drafts, one that is not followed, one that only catches up, a bad row
    { tableRow: 3, n: 20, k: 0, samples: false, follows: true, position: 12, catchUp: 0, accepted: 0 },
    { tableRow: 0, n: 5, k: 0, samples: true, follows: true, position: 40, catchUp: 19, accepted: 0 },
    { tableRow: 5, n: 4, k: 3, samples: true, follows: true, position: 30, catchUp: 17, accepted: 1 },
    { tableRow: 2, n: 5, k: 4, samples: true, follows: true, position: 64, catchUp: 0, accepted: 4 },
    { tableRow: 1, n: 1, k: 0, samples: true, follows: false, position: 21, catchUp: 0, accepted: 0 },
    { tableRow: 4, n: 1, k: 0, samples: true, follows: false, position: 50, catchUp: 9, accepted: 0 },
    { tableRow: 6, n: 1, k: 0, samples: true, follows: true, position: 7, catchUp: 0, accepted: 0, numericError: true },
  ]
  const blockTable = Uint32Array.from({ length: 7 * maxBlocks }, (_, i) => (i * 37) % 101)
  const requests = new Uint32Array(cases.length * REQUEST_WORDS)
  const results = new Uint32Array(cases.length * RESULT_WORDS).fill(POISON)
  const positions: number[] = []
  const plan: number[] = []
  const expected: { position: number; token: number | undefined; slot: number }[] = []
  cases.forEach(({ tableRow, n, k, samples, follows, position, catchUp, accepted, numericError }, index) => {
    const firstRow = positions.length
    const kvPassRow = plan.length / 2
    const from = position - catchUp
    requests.set(
      [tableRow, 1, firstRow, n, k, 0, samples ? 1 : 0, position, 0, 1, kvPassRow, catchUp, from],
      index * REQUEST_WORDS,
    )
    const tokens = [...randomInts(index + 1, 5, 4096)]
    results.set([1, accepted, samples ? accepted + 1 : 0, numericError ? 1 : 0, ...tokens], index * RESULT_WORDS)
    const planned = [...randomInts(index + 50, catchUp + n, 4096)]
    const expectRow = (at: number, token: number | undefined) => {
      const block = blockTable[tableRow * maxBlocks + Math.floor(at / BLOCK_SIZE)] as number
      const slot = token === undefined ? NO_SLOT : block * BLOCK_SIZE + (at % BLOCK_SIZE)
      expected.push({ position: at, token, slot })
    }
    for (let row = 0; row < catchUp; row++) {
      plan.push(index, planned[row] as number)
      expectRow(from + row, planned[row])
    }
    for (let row = 0; row < n; row++) {
      positions.push(position + row)
      if (!follows) continue
      plan.push(index, planned[catchUp + row] as number)
      const j = row - (n - 1 - k)
      if (!samples || j < 0) expectRow(position + row, planned[catchUp + row])
      else expectRow(position + row, j > accepted || numericError ? undefined : tokens[j])
    }
  })
  const rows = expected.length
  const { nextTokens, drafterPositions, drafterSlots } = await runKernel({
    variant: expandDrafter,
    shape: { maxBlocks },
    gridRows: rows + 3,
    pass: { rows },
    buffers: {
      requests,
      drafterPlan: new Uint32Array([...plan, ...Array(6).fill(0)]),
      results,
      positions: new Uint32Array(positions),
      blockTable,
      nextTokens: rows + 3,
      drafterPositions: rows + 3,
      drafterSlots: rows + 3,
    },
  })
  expect([...(drafterPositions?.u32.subarray(0, rows) ?? [])]).toEqual(expected.map(({ position }) => position))
  expect([...(nextTokens?.u32.subarray(0, rows) ?? [])]).toEqual(expected.map(({ token }) => token ?? 0))
  expect([...(drafterSlots?.u32.subarray(0, rows) ?? [])]).toEqual(expected.map(({ slot }) => slot))
  for (const written of [nextTokens, drafterPositions, drafterSlots]) expectPoison(written, rows)
})
