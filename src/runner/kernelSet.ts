/**
 * The kernel set of a runner: the variant of each operation that has several. It is chosen at load and never per step, so
 * that the bits of a request do not depend on its batch.
 */

import { type GateUpShape, gateUp } from '../kernels/gateUp.ts'
import { gateUpSerial } from '../kernels/gateUpSerial.ts'
import { type LinearShape, linear } from '../kernels/linear.ts'
import { linearSerial } from '../kernels/linearSerial.ts'
import { type AttentionShape, pagedAttention } from '../kernels/pagedAttention.ts'
import { pagedAttentionSerial } from '../kernels/pagedAttentionSerial.ts'
import { type RmsNormShape, rmsNorm } from '../kernels/rmsNorm.ts'
import { rmsNormSerial } from '../kernels/rmsNormSerial.ts'
import { type RopeKvShape, ropeKv } from '../kernels/ropeKv.ts'
import { ropeKvSerial } from '../kernels/ropeKvSerial.ts'
import { type SampleThresholdShape, sampleThreshold } from '../kernels/sampleThreshold.ts'
import { sampleThresholdSerial } from '../kernels/sampleThresholdSerial.ts'
import type { KernelVariant } from '../kernels/variant.ts'

export interface KernelSet {
  readonly rmsNorm: KernelVariant<RmsNormShape>
  readonly linear: KernelVariant<LinearShape>
  readonly gateUp: KernelVariant<GateUpShape>
  readonly ropeKv: KernelVariant<RopeKvShape>
  readonly attention: KernelVariant<AttentionShape>
  readonly sampleThreshold: KernelVariant<SampleThresholdShape>
}

export const WORKGROUP_KERNELS: KernelSet = {
  rmsNorm,
  linear,
  gateUp,
  ropeKv,
  attention: pagedAttention,
  sampleThreshold,
}

export const SERIAL_KERNELS: KernelSet = {
  rmsNorm: rmsNormSerial,
  linear: linearSerial,
  gateUp: gateUpSerial,
  ropeKv: ropeKvSerial,
  attention: pagedAttentionSerial,
  sampleThreshold: sampleThresholdSerial,
}

export const KERNEL_SETS: readonly KernelSet[] = [WORKGROUP_KERNELS, SERIAL_KERNELS]

/** The variant of each operation, for `stats()`. */
export function variantNames(kernels: KernelSet): Record<string, string> {
  return Object.fromEntries(Object.entries(kernels).map(([operation, variant]) => [operation, variant.name]))
}
