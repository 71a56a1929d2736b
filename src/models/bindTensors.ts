/**
 * Finds the tensors of a model in a safetensors checkpoint, from its header alone: by which names, in which encoding, as which rows
 * of a fused matrix. It must never know where the bytes are or how they are laid out on a device.
 */

import { assert, sum } from '../util/math.ts'
import { type Encoding, formatOf } from '../weights/encoding.ts'
import type { WeightFormat } from '../weights/format.ts'
import type { CheckpointQuantisation } from './checkpointQuantisation.ts'
import { CheckpointTensors } from './checkpointTensors.ts'
import { type Family, familyOf } from './families.ts'
import type { ModelSpec } from './modelSpec.ts'
import { plainTensor, storedMatrix } from './moduleEncoding.ts'
import { checkStrayTensors } from './strayTensors.ts'
import { blockPrefix, type TensorHeader, type WeightRole, type WeightTensor, weightPlan } from './weightNames.ts'

/** A tensor of the model and where it is in the files. */
export interface BoundTensor extends WeightTensor {
  /** tensors of the files that hold it, in the order of its encoding */
  readonly files: readonly string[]
  /** of the files */
  readonly encoding: Encoding
  /** of the engine; f32 for vectors */
  readonly format: WeightFormat
  /** the files' matrix has `fileRows` rows, and those from `firstRow` on are this tensor's: fused matrices hold several; a vector is 1 */
  readonly firstRow: number
  readonly fileRows: number
  /**
   * Size of the heads whose rows stand in pairs, undefined where they do not: row 2i + j of a head in the files is row i + j · size / 2
   * of the model (some families in GGUF, in q, k and their biases).
   */
  readonly pairedRows: number | undefined
  /** what is to be added to the files' values: some hold the weights of norms less 1 */
  readonly add: 0 | 1
}

/**
 * Every tensor of the weight plan, in its order.
 * @throws MODEL_FORMAT naming a tensor that is missing, has another shape or an unsupported dtype; and one that stands beside the
 * planned ones and would change their meaning (a bias, a scale, a further layer)
 */
export function bindTensors(
  spec: ModelSpec,
  quantisation: CheckpointQuantisation,
  headers: ReadonlyMap<string, TensorHeader>,
): BoundTensor[] {
  const family = familyOf(spec.family)
  assert(family, `${spec.family} is a family`)
  const tensors = new CheckpointTensors(headers)
  const plan = weightPlan(spec)
  const bound = plan.map((planned): BoundTensor => {
    const { module, firstRow, fileRows } = placeOf(spec, family, plan, tensors, planned)
    const why = planned.part === 'mtp' ? '; config.json promises a drafter (num_nextn_predict_layers is 1)' : ''
    const [rows = 0, inputs] = planned.shape
    const at = { tensors, name: module, why }
    const suffix = planned.name.slice(planned.name.lastIndexOf('.') + 1)
    const stored =
      inputs === undefined ? plainTensor(at, suffix, [rows]) : storedMatrix(quantisation, at, fileRows, inputs)
    return {
      ...planned,
      ...stored,
      format: inputs === undefined ? { codes: 'f32' } : formatOf(stored.encoding),
      firstRow,
      fileRows,
      pairedRows: undefined,
      add: planned.role.endsWith('Norm') ? family.normOffset : 0,
    }
  })
  const read = new Set(bound.flatMap(({ files }) => files))
  checkStrayTensors(spec, tensors, read, quantisation.kind === 'gptq')
  return bound
}

/** Where the files have a tensor of the plan: `module` as the plan would name it. */
interface Place {
  readonly module: string
  readonly firstRow: number
  readonly fileRows: number
}

function placeOf(
  spec: ModelSpec,
  family: Family,
  plan: readonly WeightTensor[],
  tensors: CheckpointTensors,
  planned: WeightTensor,
): Place {
  const { role, part, layer, name, shape } = planned
  const module = name.slice(0, name.lastIndexOf('.'))
  const [rows = 0, inputs] = shape
  const own = { module, firstRow: 0, fileRows: inputs === undefined ? 1 : rows }
  if (inputs === undefined || tensors.hasModule(module)) return own
  // A tied model may have kept its one matrix under the head's name.
  if (role === 'embed')
    return { ...own, module: spec.tiedEmbeddings && tensors.hasModule('lm_head') ? 'lm_head' : module }
  if (layer === undefined) return own

  const prefix = blockPrefix(spec, part, layer)
  const rowsOf = (each: WeightRole) =>
    plan.find((tensor) => tensor.role === each && tensor.part === part && tensor.layer === layer)?.shape[0] ?? 0
  for (const fused of family.fused) {
    const roles: readonly WeightRole[] = fused.roles
    if (!roles.includes(role) || !tensors.hasModule(prefix + fused.module)) continue
    const sizes = roles.map(rowsOf)
    return {
      module: prefix + fused.module,
      firstRow: sum(sizes.slice(0, roles.indexOf(role))),
      fileRows: sum(sizes),
    }
  }
  const renamed = Object.entries(family.renamed).find(([each]) => each === role)?.[1]
  return renamed !== undefined && tensors.hasModule(prefix + renamed) ? { ...own, module: prefix + renamed } : own
}
