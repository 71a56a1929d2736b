/** QK-norm, RoPE and the write of K and V to the cache, without barriers: host half of `ropeKvSerial.wgsl`. */

import source from '../../shaders/ropeKvSerial.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import { inputHeads, type RopeKvShape, ropeKvGroups, ropeKvSpecialisation } from './ropeKv.ts'
import type { KernelVariant } from './variant.ts'

const WORKGROUP_SIZE = 64

const ropeKvSerialKernel: Kernel = { name: 'ropeKvSerial', source, groups: ropeKvGroups }

export const ropeKvSerial: KernelVariant<RopeKvShape> = {
  name: 'serial',
  kernel: ropeKvSerialKernel,
  specialise: ropeKvSpecialisation,
  grid: (shape, rows) => [cdiv(rows * inputHeads(shape), WORKGROUP_SIZE), 1, 1],
}
