/**
 * The check of a checkpoint for backends that read plain tensors under the names of the weight plan, each matrix whole. To go when both
 * backends read bound tensors (bindTensors.ts).
 */

import { WeirError } from '../protocol/errors.ts'
import { type BoundTensor, bindTensors } from './bindTensors.ts'
import type { ModelSpec } from './modelSpec.ts'
import type { BlockRole, TensorHeader, WeightTensor } from './weightNames.ts'

/** Supported element types, by their names in safetensors. */
export type CheckpointDtype = 'BF16' | 'F16' | 'F32'

export interface CheckedTensor extends WeightTensor {
  readonly dtype: CheckpointDtype
}

const DTYPES = { bf16: 'BF16', f16: 'F16', f32: 'F32' } as const

/** Matrices fused into one for a kernel, which must have the same element type. */
const FUSED: readonly (readonly BlockRole[])[] = [
  ['q', 'k', 'v'],
  ['gate', 'up'],
]

/** @throws MODEL_FORMAT as `bindTensors`, and for what these backends do not read */
export function checkTensors(spec: ModelSpec, tensors: ReadonlyMap<string, TensorHeader>): CheckedTensor[] {
  checkArithmetic(spec)
  const checked = bindTensors(spec, { kind: 'none' }, tensors).map(checkTensor)
  checkFusedTypes(checked)
  return checked
}

/** These backends know pre-norm blocks, norms of heads and biases of q, k and v; they would ignore the rest. */
function checkArithmetic(spec: ModelSpec): void {
  const plain =
    spec.norms === 'pre' &&
    spec.qkNorm !== 'whole' &&
    spec.activation === 'silu' &&
    !spec.outputBias &&
    !spec.mlpBias &&
    [spec.embeddingScale, spec.residualScale, spec.logitScale].every((scale) => scale === 1) &&
    [spec.attentionSoftcap, spec.logitSoftcap, spec.queryScaling].every((property) => property === undefined) &&
    spec.layers.every(({ window, rope }) => window === undefined && rope === 0) &&
    spec.ropes.every(({ scaling }) => scaling === undefined)
  if (!plain) {
    throw new WeirError('MODEL_FORMAT', `config.json: a ${spec.family} model like this is not supported yet`, {
      family: spec.family,
    })
  }
}

function checkTensor({ role, part, layer, name, shape, encoding, files, add }: BoundTensor): CheckedTensor {
  if (encoding.kind !== 'plain' || files.join() !== name || add !== 0) {
    throw new WeirError('MODEL_FORMAT', `weights: tensor ${name} is in a form that is not supported yet`, {
      tensor: name,
    })
  }
  return { role, part, layer, name, shape, dtype: DTYPES[encoding.dtype] }
}

function checkFusedTypes(checked: readonly CheckedTensor[]): void {
  const first = new Map<string, CheckedTensor>()
  for (const tensor of checked) {
    const group = FUSED.findIndex((roles) => roles.some((role) => role === tensor.role))
    if (group < 0) continue
    const key = `${tensor.part}.${tensor.layer}.${group}`
    const other = first.get(key) ?? tensor
    first.set(key, other)
    if (other.dtype !== tensor.dtype) {
      const types = `${tensor.dtype} but ${other.name} has ${other.dtype}`
      throw new WeirError('MODEL_FORMAT', `weights: tensor ${tensor.name} has dtype ${types}; they must agree`, {
        tensor: tensor.name,
        dtype: tensor.dtype,
      })
    }
  }
}
