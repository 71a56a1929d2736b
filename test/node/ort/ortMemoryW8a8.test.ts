/** The estimate of ONNX Runtime's memory against its memory, with 8-bit weights: a process of its own, as in `ortMemory.test.ts`. */

import { expect, it } from 'vitest'
import { memoryOfLarge } from '../../helpers/ortMemory.ts'

it('is no less than the memory of a loaded model after its largest step, and less than twice as much', async () => {
  const { estimate, measured } = await memoryOfLarge('w8a8')
  expect(estimate).toBeGreaterThanOrEqual(measured)
  expect(estimate).toBeLessThan(2 * measured)
})
