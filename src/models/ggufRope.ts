/**
 * The scaling of rotary embedding, from a GGUF file, as config.json would state it. Llama 3's is a tensor of divisors there, Phi-3's two
 * of them. It must never know where bytes come from.
 */

import { WeirError } from '../protocol/errors.ts'
import { type GgufFields, type GgufTensor, shortestDecimal } from './ggufFields.ts'

const DIVISORS = 'rope_freqs.weight'
const LONG = 'rope_factors_long.weight'
const SHORT = 'rope_factors_short.weight'

/** Half of a head, at most: what such a tensor holds. */
const MAX_VALUES = 4096

/** Values of the tensors that `configTensors` names. */
export type ConfigValues = ReadonlyMap<string, Float32Array>

/**
 * The tensors whose values belong to the config: fetch them before `ggufConfig`. They are f32, of a few hundred bytes.
 * @throws MODEL_FORMAT naming one that is not
 */
export function configTensors(tensors: readonly GgufTensor[]): string[] {
  const found = tensors.filter(({ name }) => name === DIVISORS || name === LONG || name === SHORT)
  for (const { name, type, shape } of found) {
    if (type === 'f32' && shape.length === 1 && (shape[0] ?? 0) <= MAX_VALUES) continue
    refuse(name, `is ${type} [${shape.join(', ')}]; it must be f32, one dim of at most ${MAX_VALUES}`)
  }
  return found.map(({ name }) => name)
}

/**
 * `rope_scaling` of config.json, null for none; `rope_type` is 'divisors' where the file gives a list of them.
 * @param dims rotated dims of a head
 * @throws MODEL_FORMAT naming the key or the tensor
 */
export function ggufRopeScaling(
  fields: GgufFields,
  names: ReadonlySet<string>,
  values: ConfigValues,
  dims: number,
): Record<string, unknown> | null {
  const type = fields.optional('rope.scaling.type', fields.string)
  if (names.has(LONG) || names.has(SHORT)) {
    if (type !== undefined && type !== 'none' && type !== 'longrope') {
      fields.refuse('rope.scaling.type', `only "longrope" is supported beside ${LONG}`)
    }
    return {
      rope_type: 'longrope',
      short_factor: valuesOf(values, SHORT, dims / 2),
      long_factor: valuesOf(values, LONG, dims / 2),
      original_max_position_embeddings: fields.integer('rope.scaling.original_context_length'),
      ...optional('attention_factor', fields.optional('rope.scaling.attn_factor', fields.number)),
    }
  }
  const scaling = namedScaling(fields, type)
  if (!names.has(DIVISORS)) return scaling
  if (scaling) fields.refuse('rope.scaling.type', `no scaling is supported beside ${DIVISORS}`)
  return { rope_type: 'divisors', divisors: valuesOf(values, DIVISORS, dims / 2) }
}

function namedScaling(fields: GgufFields, type: string | undefined): Record<string, unknown> | null {
  // Before 2024 a linear factor stood without a type, in a key of its own.
  const key = fields.raw('rope.scaling.factor') === undefined ? 'rope.scale_linear' : 'rope.scaling.factor'
  const factor = fields.raw(key) === 0 ? undefined : fields.optional(key, fields.number)
  switch (type) {
    case 'none':
      return null
    case undefined:
    case 'linear':
      return factor === undefined || factor === 1 ? null : { rope_type: 'linear', factor }
    case 'yarn':
      return { rope_type: 'yarn', factor: factor ?? fields.number('rope.scaling.factor'), ...yarn(fields, factor ?? 1) }
    default:
      return fields.refuse('rope.scaling.type', 'supported: none, linear, yarn; longrope with its tensors of factors')
  }
}

function yarn(fields: GgufFields, factor: number): Record<string, unknown> {
  const key = (name: string) => `rope.scaling.${name}`
  for (const name of ['yarn_ext_factor', 'yarn_log_multiplier']) {
    const [value, neutral] = [fields.raw(key(name)), name === 'yarn_ext_factor' ? 1 : 0]
    if (value !== undefined && value !== neutral) fields.refuse(key(name), `only ${neutral} is supported`)
  }
  // llama.cpp multiplies attn_factor by YaRN's own; the converter copies attention_factor of config.json to yarn_attn_factor.
  const own = fields.optional(key('attn_factor'), fields.number)
  const whole = fields.optional(key('yarn_attn_factor'), fields.number)
  const attentionFactor = whole ?? (own === undefined ? undefined : own * (0.1 * Math.log(factor) + 1))
  return {
    original_max_position_embeddings: fields.integer(key('original_context_length')),
    ...optional('attention_factor', attentionFactor),
    ...optional('beta_fast', fields.optional(key('yarn_beta_fast'), fields.number)),
    ...optional('beta_slow', fields.optional(key('yarn_beta_slow'), fields.number)),
  }
}

function valuesOf(values: ConfigValues, name: string, expected: number): number[] {
  const found = values.get(name)
  if (!found) refuse(name, 'is missing, or was not read')
  if (found.length !== expected) refuse(name, `has ${found.length} values; half of the rotated dims are ${expected}`)
  const wrong = found.find((value) => !(value > 0 && value < Number.POSITIVE_INFINITY))
  if (wrong !== undefined) refuse(name, `holds ${wrong}; its values must be above 0`)
  return Array.from(found, shortestDecimal)
}

function optional(name: string, value: number | undefined): Record<string, number> {
  return value === undefined ? {} : { [name]: value }
}

function refuse(name: string, fault: string): never {
  throw new WeirError('MODEL_FORMAT', `GGUF: tensor ${name} ${fault}`, { tensor: name })
}
