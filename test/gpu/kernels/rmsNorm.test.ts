import { describe } from 'vitest'
import { rmsNorm } from '../../../src/kernels/rmsNorm.ts'
import { rmsNormSerial } from '../../../src/kernels/rmsNormSerial.ts'
import { rmsNormConformance } from '../../conformance/rmsNorm.ts'

describe('rmsNorm', () => {
  rmsNormConformance([rmsNorm, rmsNormSerial])
})
