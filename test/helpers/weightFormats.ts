/** Every format that the engine holds weights in. */

import {
  isQuantised,
  type PlainFormat,
  type QuantisedFormat,
  SUPER_GROUP,
  type WeightFormat,
} from '../../src/weights/format.ts'

export const BF16: PlainFormat = { codes: 'bf16' }
export const F16: PlainFormat = { codes: 'f16' }
export const F32: PlainFormat = { codes: 'f32' }

const CODES = ['u4', 'u8'] as const
const GROUPS = [16, 32, 64, 128] as const

export const QUANTISED_FORMATS: readonly QuantisedFormat[] = CODES.flatMap((codes) => [
  ...GROUPS.flatMap((group): QuantisedFormat[] => [
    { codes, group, scales: { kind: 'half', zero: codes === 'u4' ? 8 : 128 } },
    { codes, group, scales: { kind: 'offset', halves: 'f16' } },
    { codes, group, scales: { kind: 'offset', halves: 'bf16' } },
    { codes, group, scales: { kind: 'zeroPoint' } },
  ]),
  { codes, group: 32, scales: { kind: 'super' } },
  { codes, group: 16, scales: { kind: 'super' } },
])

/** One of each kind of scales and of codes: what a short test runs. */
export const OTHER_FORMATS: readonly WeightFormat[] = [
  { codes: 'u4', group: 32, scales: { kind: 'half', zero: 8 } },
  { codes: 'u8', group: 32, scales: { kind: 'half', zero: 128 } },
  { codes: 'u4', group: 64, scales: { kind: 'offset', halves: 'bf16' } },
  { codes: 'u8', group: 32, scales: { kind: 'offset', halves: 'f16' } },
  { codes: 'u4', group: 128, scales: { kind: 'zeroPoint' } },
  { codes: 'u4', group: 32, scales: { kind: 'super' } },
  { codes: 'u8', group: 16, scales: { kind: 'super' } },
]

export const ALL_FORMATS: readonly WeightFormat[] = [BF16, F16, F32, ...QUANTISED_FORMATS]

/** Whether rows of so many inputs can have a format. */
export function fits(format: WeightFormat, inputs: number): boolean {
  if (!isQuantised(format)) return true
  return inputs % (format.scales.kind === 'super' ? SUPER_GROUP : format.group) === 0
}
