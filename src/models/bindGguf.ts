/**
 * Finds the tensors of a model in GGUF files, from their headers alone, as bindTensors.ts does in safetensors. It must never know where
 * the bytes are or how they are laid out on a device.
 */

import { assert, sum } from '../util/math.ts'
import { type Encoding, formatOf, type GgmlType } from '../weights/encoding.ts'
import type { BoundTensor } from './bindTensors.ts'
import { refuseTensor } from './checkpointTensors.ts'
import { familyOf } from './families.ts'
import type { GgufMetadata } from './ggufFields.ts'
import { type GgufFusedRole, type GgufRewrites, ggufName, ggufRewrites } from './ggufNames.ts'
import type { ModelSpec } from './modelSpec.ts'
import { type TensorHeader, type WeightRole, type WeightTensor, weightPlan } from './weightNames.ts'

type Headers = ReadonlyMap<string, TensorHeader>

const PLAIN = ['f32', 'f16', 'bf16'] as const
const GGML: readonly GgmlType[] = ['q4_0', 'q4_1', 'q5_0', 'q5_1', 'q8_0', 'q4_k', 'q5_k', 'q6_k']
const INSTEAD = 'use a file of Q4_K_M, Q5_K_M, Q6_K, Q8_0, Q4_0, F16 or BF16'

/** Matrices of several roles, used where the single ones are not there. */
const FUSED: readonly (readonly [GgufFusedRole, ...WeightRole[]])[] = [
  ['qkv', 'q', 'k', 'v'],
  ['gateUp', 'gate', 'up'],
]

/** Roles whose rows stand in pairs if the converter moved them. */
const IN_PAIRS: readonly WeightRole[] = ['q', 'k', 'qBias', 'kBias']

/** Read for the config, or said by it. */
const OF_CONFIG = /^rope_(freqs|factors_long|factors_short)\.weight$/

/**
 * Every tensor of the weight plan, in its order.
 * @param metadata of the first file
 * @param headers of all files; `dtype` is ggml's name in lower case
 * @throws MODEL_FORMAT naming a tensor that is missing, has another shape or an unsupported type, or is not read
 */
export function bindGguf(spec: ModelSpec, metadata: GgufMetadata, headers: Headers): BoundTensor[] {
  const plan = weightPlan(spec)
  const rewrites = ggufRewrites(String(metadata.get('general.architecture')))
  const bound = plan.map((tensor) => bind(spec, plan, headers, rewrites, tensor))
  const read = new Set(bound.flatMap(({ files }) => files))
  for (const name of headers.keys()) {
    if (read.has(name) || OF_CONFIG.test(name)) continue
    refuseTensor(name, `is not part of a ${spec.family} model of ${spec.numLayers} layers`)
  }
  return bound
}

function bind(
  spec: ModelSpec,
  plan: readonly WeightTensor[],
  headers: Headers,
  { permutedRows, foldedNorms }: GgufRewrites,
  tensor: WeightTensor,
): BoundTensor {
  const { role, shape } = tensor
  const family = familyOf(spec.family)
  assert(family, `${spec.family} is a family`)
  const { name, firstRow, fileRows } = placeOf(plan, headers, tensor)
  const [rows = 0, inputs] = shape
  const encoding = encodingOf(headers, name, inputs === undefined ? [rows] : [fileRows, inputs])
  return {
    ...tensor,
    files: [name],
    encoding,
    format: inputs === undefined ? { codes: 'f32' } : formatOf(encoding),
    firstRow,
    fileRows,
    pairedRows: permutedRows && IN_PAIRS.includes(role) ? spec.headDim : undefined,
    add: role.endsWith('Norm') && !foldedNorms ? family.normOffset : 0,
  }
}

interface Place {
  readonly name: string
  readonly firstRow: number
  readonly fileRows: number
}

function placeOf(plan: readonly WeightTensor[], headers: Headers, { role, layer, shape }: WeightTensor): Place {
  if (role === 'fc' || role === 'embedNorm' || role === 'hiddenNorm') {
    return refuseTensor(role, 'is missing: GGUF files hold no drafter')
  }
  const own = { name: ggufName(role, layer), firstRow: 0, fileRows: shape.length === 1 ? 1 : (shape[0] ?? 0) }
  for (const [fused, ...roles] of FUSED) {
    const name = ggufName(fused, layer)
    const index = roles.indexOf(role)
    const split = roles.some((each) => each !== 'up' && headers.has(ggufName(each as typeof role, layer)))
    if (index < 0 || split || !headers.has(name)) continue
    const sizes = roles.map((each) => plan.find((other) => other.role === each && other.layer === layer)?.shape[0] ?? 0)
    return { name, firstRow: sum(sizes.slice(0, index)), fileRows: sum(sizes) }
  }
  return own
}

function encodingOf(headers: Headers, name: string, shape: readonly number[]): Encoding {
  const found = headers.get(name)
  if (!found) return refuseTensor(name, 'is missing')
  if (found.shape.join() !== shape.join()) {
    const [actual, expected] = [`[${found.shape.join(', ')}]`, `[${shape.join(', ')}]`]
    refuseTensor(name, `has shape ${actual}, the metadata ask for ${expected}`, { shape: actual, expected })
  }
  const { dtype } = found
  const plain = PLAIN.find((each) => each === dtype)
  if (plain) return { kind: 'plain', dtype: plain }
  const type = GGML.find((each) => each === dtype)
  if (!type) return refuseTensor(name, `has type ${dtype.toUpperCase()}, which is not supported; ${INSTEAD}`, { dtype })
  if (shape.length === 1) refuseTensor(name, `has type ${dtype.toUpperCase()}; it must be F32, F16 or BF16`, { dtype })
  return { kind: 'ggml', type }
}
