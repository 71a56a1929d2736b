/**
 * Runs the attention kernels on a case: the serial one, or the workgroup one over its work list and the merge. Fails where a row past
 * the pass is written or a partial is not. It must never know what the result is compared with.
 */

import { expect } from 'vitest'
import { attentionMerge } from '../../src/kernels/attentionMerge.ts'
import { planAttention } from '../../src/kernels/attentionPlan.ts'
import { pagedAttention, partialWords } from '../../src/kernels/pagedAttention.ts'
import { pagedAttentionSerial } from '../../src/kernels/pagedAttentionSerial.ts'
import { type AttentionCase, SPARE_ROWS } from './attentionCase.ts'
import { expectPoison, POISON, runKernel, type Written } from './kernelHarness.ts'

/** The serial variant. @returns `out` */
export async function runSerial(data: AttentionCase): Promise<Float32Array> {
  const buffers = { ...data.buffers, out: outWords(data) }
  const pass = { rows: data.rows }
  const { out } = await runKernel({ variant: pagedAttentionSerial, shape: data.shape, pass, buffers })
  return checked(data, out)
}

/** The workgroup variant over its work list, and the merge of what it left. `slack` is added to the bound of positions. */
export async function runItems(data: AttentionCase, split: boolean, slack = 0): Promise<Float32Array> {
  const { shape, rows } = data
  const { plan, out, partials } = await attendItems(data, split, slack)
  if (!split) return checked(data, out)
  const merged = await runKernel({
    variant: attentionMerge,
    shape,
    pass: { rows, merges: plan.mergeCount },
    gridRows: plan.mergeCount + 1,
    buffers: { merges: plan.merges, partials: partials.f32, out: out.f32 },
  })
  return checked(data, merged.out)
}

/** The workgroup variant alone: what it wrote for its work list. */
export async function attendItems(data: AttentionCase, split: boolean, slack = 0) {
  const { shape, rows } = data
  let firstRow = 0
  const requests = data.requests.map((request) => {
    const planned = { firstRow, rowCount: request.rows, maxPosition: request.context - 1 + slack, split }
    firstRow += request.rows
    return planned
  })
  const plan = planAttention(requests, shape.heads / shape.kvHeads)
  expect(plan.parts > 0).toBe(split)
  const words = plan.parts * partialWords(shape)
  const { out, partials } = await runKernel({
    variant: pagedAttention,
    shape,
    pass: { rows, items: plan.itemCount },
    gridRows: plan.itemCount + 1,
    buffers: { ...data.buffers, items: plan.items, out: outWords(data), partials: words + partialWords(shape) },
  })
  if (!out || !partials) throw new Error('pagedAttention writes out and partials')
  expectPoison(partials, words)
  expect(partials.u32.subarray(0, words).includes(POISON)).toBe(false)
  return { plan, out, partials }
}

/** `out`; rows past the pass must be untouched. */
function checked(data: AttentionCase, out: Written | undefined): Float32Array {
  expectPoison(out, data.expected.length)
  return out?.f32 ?? new Float32Array()
}

function outWords({ shape, rows }: AttentionCase): number {
  return (rows + SPARE_ROWS) * shape.heads * shape.headDim
}
