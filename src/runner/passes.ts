/**
 * The passes of a step, each with its own `Pass` uniform in one buffer: the target's rows, the sampled rows, one entry
 * per request, the rows of the drafter's KV pass, and one pass per draft.
 */

import type { BufferSlice } from '../gpu/kernel.ts'
import type { StepCounts } from './stepCounts.ts'

export type PassName = 'target' | 'sampled' | 'requests' | 'kvPass' | `draft${number}`

/** bytes between entries: WebGPU's default minUniformBufferOffsetAlignment */
const STRIDE = 256
const FIXED: readonly PassName[] = ['target', 'sampled', 'requests', 'kvPass']

/** Bytes of the pass buffer with `drafts` draft passes. */
export function passBytes(drafts: number): number {
  return (FIXED.length + drafts) * STRIDE
}

/** The binding of one pass. */
export function passSlice(buffer: GPUBuffer, name: PassName): BufferSlice {
  const fixed = FIXED.indexOf(name)
  const index = fixed >= 0 ? fixed : FIXED.length + Number(name.slice('draft'.length))
  return { buffer, offset: index * STRIDE, size: 16 }
}

/** Fills the words of every pass: [passes][STRIDE / 4], fields as in `shaders/lib/pass.wgsl`. */
export function writePasses(words: Uint32Array, counts: StepCounts): void {
  const set = (index: number, rows: number, items: number, draft: number, merges: number) => {
    const start = (index * STRIDE) / 4
    words[start] = rows
    words[start + 1] = items
    words[start + 2] = draft
    words[start + 3] = merges
  }
  set(0, counts.rows, counts.items, 0, counts.merges)
  set(1, counts.sampled, 0, 0, 0)
  set(2, counts.requests, 0, 0, 0)
  set(3, counts.kvPass, 0, 0, 0)
  counts.drafting.forEach((rows, draft) => {
    set(FIXED.length + draft, rows, rows, draft, 0)
  })
}
