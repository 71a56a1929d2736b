/**
 * Reads from config.json how the matrices of a safetensors checkpoint are quantised: MLX (`quantization`), GPTQ and AWQ
 * (`quantization_config`). Which of them are, its tensors tell (bindTensors.ts). It must never know tensors.
 */

import { ConfigFields, type JsonObject, shown } from './configFields.ts'

export type Group = 32 | 64 | 128

export interface MlxParameters {
  readonly bits: 4 | 8
  readonly group: Group
}

export type CheckpointQuantisation =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'mlx'
      readonly usual: MlxParameters
      /** by module, as the file names it; false: it is not quantised */
      readonly modules: ReadonlyMap<string, MlxParameters | false>
    }
  | { readonly kind: 'gptq'; readonly group: Group; readonly zeros: 'less one' | 'as they are' }
  | { readonly kind: 'awq'; readonly group: Group }

const NONE: CheckpointQuantisation = { kind: 'none' }

const INSTEAD = 'use the BF16, MLX (4 or 8 bit) or GGUF files of this model'

/** Fields of MLX's `quantization` that are no modules. */
const MLX_FIELDS = ['group_size', 'bits', 'mode', 'quant_method', 'linear_class', 'quantize_embeddings']

/** @throws MODEL_FORMAT naming the field, and what would work */
export function parseQuantisation(config: unknown): CheckpointQuantisation {
  const outer = new ConfigFields('config.json', config)
  // Some wrappers have it in the text model's config.
  const fields = [outer, outer.has('text_config') ? outer.nested('text_config') : undefined].find(
    (place) => place?.has('quantization') || place?.has('quantization_config'),
  )
  if (!fields) return NONE
  const copy = fields.nested('quantization_config')
  const mlx = fields.nested('quantization')
  if (mlx) {
    const method = copy?.raw('quant_method') ?? 'mlx'
    if (method !== 'mlx') fields.refuse('quantization', `quantization_config is of ${shown(method)}`)
    return readMlx(mlx)
  }
  if (!copy) return NONE
  const method = copy.raw('quant_method')
  switch (method) {
    case 'gptq':
      return readGptq(copy)
    case 'awq':
      return readAwq(copy)
    default:
      if (method === 'mlx' || (method === undefined && copy.has('group_size'))) return readMlx(copy)
      return copy.refuse('quant_method', `supported: "gptq", "awq" and MLX's; ${INSTEAD}`)
  }
}

function readMlx(fields: ConfigFields): CheckpointQuantisation {
  const usual = mlxParameters(fields, { group_size: 64, bits: 4 })
  const modules = new Map<string, MlxParameters | false>()
  for (const name of fields.names()) {
    const entry = fields.raw(name)
    if (MLX_FIELDS.includes(name) || entry === undefined || entry === true) continue
    if (entry === false) modules.set(name, false)
    else modules.set(name, mlxParameters(fields.nested(name) ?? fields, { group_size: usual.group, bits: usual.bits }))
  }
  return { kind: 'mlx', usual, modules }
}

function mlxParameters(stated: ConfigFields, defaults: JsonObject): MlxParameters {
  const fields = stated.withDefaults(defaults)
  const mode = fields.raw('mode') ?? 'affine'
  if (mode !== 'affine') fields.refuse('mode', `supported: "affine"; ${INSTEAD}`)
  const bits = fields.raw('bits')
  if (bits !== 4 && bits !== 8) return fields.refuse('bits', `supported: 4, 8; ${INSTEAD}`)
  return { bits, group: readGroup(fields, 'group_size') }
}

function readGptq(fields: ConfigFields): CheckpointQuantisation {
  checkBits(fields, 'bits')
  // With it groups are of scattered inputs. Without it `g_idx` lists input / group, by definition, and need not be read.
  if (fields.boolean('desc_act', false)) fields.refuse('desc_act', `reordered inputs are not supported; ${INSTEAD}`)
  const overrides = fields.raw('dynamic')
  if (overrides !== undefined && shown(overrides) !== '{}') {
    fields.refuse('dynamic', `formats by module are not supported; ${INSTEAD}`)
  }
  const format = fields.raw('checkpoint_format') ?? 'gptq'
  if (format !== 'gptq' && format !== 'gptq_v2') {
    fields.refuse('checkpoint_format', `supported: "gptq", "gptq_v2"; ${INSTEAD}`)
  }
  if (fields.boolean('is_marlin_format', false)) fields.refuse('is_marlin_format', INSTEAD)
  const group = readGroup(fields, 'group_size')
  return { kind: 'gptq', group, zeros: format === 'gptq' ? 'less one' : 'as they are' }
}

function readAwq(fields: ConfigFields): CheckpointQuantisation {
  checkBits(fields, fields.has('w_bit') ? 'w_bit' : 'bits')
  const version = fields.raw('version') ?? 'gemm'
  if (typeof version !== 'string' || version.toLowerCase() !== 'gemm') {
    fields.refuse('version', `supported: "gemm"; ${INSTEAD}`)
  }
  if (!fields.boolean('zero_point', true)) fields.refuse('zero_point', `only true is supported; ${INSTEAD}`)
  return { kind: 'awq', group: readGroup(fields, fields.has('q_group_size') ? 'q_group_size' : 'group_size') }
}

function checkBits(fields: ConfigFields, name: string): void {
  if (fields.raw(name) !== 4) fields.refuse(name, `supported: 4; ${INSTEAD}`)
}

function readGroup(fields: ConfigFields, name: string): Group {
  const group = fields.raw(name)
  if (group !== 32 && group !== 64 && group !== 128) fields.refuse(name, `supported: 32, 64, 128; ${INSTEAD}`)
  return group
}
