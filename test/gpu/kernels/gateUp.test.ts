import { describe } from 'vitest'
import { gateUp } from '../../../src/kernels/gateUp.ts'
import { gateUpSerial } from '../../../src/kernels/gateUpSerial.ts'
import { gateUpConformance } from '../../conformance/gateUp.ts'

describe('gateUp', () => {
  gateUpConformance([gateUp, gateUpSerial])
})
