import { describe } from 'vitest'
import { linear } from '../../../src/kernels/linear.ts'
import { linearSerial } from '../../../src/kernels/linearSerial.ts'
import { linearConformance } from '../../conformance/linear.ts'

describe('linear', () => {
  linearConformance([linear, linearSerial])
})
