import { describe, expect, test } from 'vitest'
import { linear } from '../../../src/kernels/linear.ts'
import { linearSerial } from '../../../src/kernels/linearSerial.ts'
import { packedWeight, packWeight } from '../../../src/kernels/weights.ts'
import { linearConformance } from '../../conformance/linear.ts'
import { randomWeight } from '../../helpers/weights.ts'

describe('linear', () => {
  linearConformance([linear, linearSerial])
})

test.each(['bf16', 'f16', 'f32'] as const)('%s matrices side by side make one stored matrix', (dtype) => {
  const [k, rows] = [12, [5, 3, 1]]
  const parts = rows.map((n, i) => randomWeight(dtype, i, n, k))
  const target = packedWeight(dtype, 9, k)
  let firstColumn = 0
  for (const [i, { bytes }] of parts.entries()) {
    const unaligned = new Uint8Array(bytes.byteLength + 1).subarray(1)
    unaligned.set(bytes)
    packWeight(target, unaligned, firstColumn)
    firstColumn += rows[i] ?? 0
  }
  const whole = packedWeight(dtype, 9, k)
  packWeight(whole, new Uint8Array(Buffer.concat(parts.map(({ bytes }) => bytes))))
  expect(target.words).toEqual(whole.words)
  expect(() => packWeight(target, parts[0]?.bytes ?? new Uint8Array(), 5)).toThrow(/does not fit/)
})
