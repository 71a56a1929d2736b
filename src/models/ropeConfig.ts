/**
 * Reads rotary position embedding from config.json, in both generations: `rope_theta` with `rope_scaling`, and `rope_parameters`,
 * which may be one object or one for each kind of attention. The formulas behind the numbers are in rope.ts. It must never know
 * which layers rotate.
 */

import type { ConfigFields } from './configFields.ts'
import type { AttentionKind } from './layerConfig.ts'
import type { ModelSpec, RopeScaling, RopeSpec } from './modelSpec.ts'

export interface RopeConfig extends Pick<ModelSpec, 'ropes' | 'queryScaling'> {
  /** index in `ropes` for layers of a kind */
  readonly indexOf: Readonly<Record<AttentionKind, number>>
}

/** Names that any of the objects may have. */
const COMMON = [
  'rope_type',
  'type',
  'rope_theta',
  'partial_rotary_factor',
  'original_max_position_embeddings',
  'max_position_embeddings',
  'llama_4_scaling_beta',
]

/**
 * Further names, by type. `su` is an old name of `longrope`. `divisors` is not of Transformers: a GGUF file gives the divisor of each
 * frequency.
 */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  default: ['mrope_section', 'mrope_interleaved'],
  linear: ['factor'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor'],
  yarn: ['factor', 'attention_factor', 'beta_fast', 'beta_slow', 'truncate', 'mscale', 'mscale_all_dim', 'finetuned'],
  longrope: ['factor', 'attention_factor', 'short_factor', 'long_factor'],
  su: ['factor', 'attention_factor', 'short_factor', 'long_factor'],
  divisors: ['divisors'],
}

const REFUSED_TYPES: Readonly<Record<string, string>> = {
  dynamic: 'angles that depend on the length of the text are not supported',
  mrope: 'positions of three axes are not supported',
}

/** @throws MODEL_FORMAT naming the field */
export function readRopes(fields: ConfigFields, headDim: number): RopeConfig {
  const reader = new RopeReader(fields, headDim)
  const parameters = fields.nested('rope_parameters')
  const byKind = parameters?.has('full_attention') || parameters?.has('sliding_attention')
  const full = byKind ? parameters?.nested('full_attention') : parameters
  if (byKind && !full) parameters?.refuse('full_attention', 'must be an object')

  const scaling = fields.nested('rope_scaling')
  const global = full ? reader.table('rope_parameters', full) : reader.table('rope_scaling', scaling)
  if (full) checkOldFields(fields, reader, global, scaling)
  const sliding = byKind ? parameters?.nested('sliding_attention') : undefined
  const local = localTable(fields, reader, global, sliding)
  const rotated = Math.min(global.dims, local.dims)
  const queryScaling = readQueryScaling(fields, rotated === headDim, full ?? scaling)
  if (same(local, global)) return { ropes: [global], indexOf: { full: 0, sliding: 0 }, queryScaling }
  return { ropes: [global, local], indexOf: { full: 0, sliding: 1 }, queryScaling }
}

/** Of sliding layers: one of their own, or θ alone without scaling, or that of all layers. */
function localTable(fields: ConfigFields, reader: RopeReader, global: RopeSpec, sliding?: ConfigFields): RopeSpec {
  const theta = fields.has('rope_local_base_freq') ? readTheta(fields, 'rope_local_base_freq') : undefined
  const plain = theta === undefined ? undefined : { ...global, theta, scaling: undefined }
  if (!sliding) return plain ?? global
  const local = reader.table('rope_parameters', sliding)
  if (plain && fields.states('rope_local_base_freq') && !same(plain, local)) {
    fields.refuse('rope_local_base_freq', 'rope_parameters says otherwise')
  }
  return local
}

/** The old fields, where they stand beside the new one. */
function checkOldFields(fields: ConfigFields, reader: RopeReader, global: RopeSpec, scaling?: ConfigFields): void {
  if (fields.states('rope_theta') && readTheta(fields, 'rope_theta') !== global.theta) {
    fields.refuse('rope_theta', `rope_parameters says ${global.theta}`)
  }
  if (scaling && !same(reader.scaling('rope_scaling', scaling, global.dims), global.scaling)) {
    fields.refuse('rope_scaling', 'rope_parameters says otherwise')
  }
}

/** Ministral 3. */
function readQueryScaling(
  fields: ConfigFields,
  rotatedWhole: boolean,
  table?: ConfigFields,
): ModelSpec['queryScaling'] {
  const place = table?.has('llama_4_scaling_beta') ? table : fields
  if (!place.has('llama_4_scaling_beta') || place.raw('llama_4_scaling_beta') === 0) return undefined
  const beta = place.number('llama_4_scaling_beta')
  if (!rotatedWhole)
    place.refuse('llama_4_scaling_beta', 'queries are scaled by position only where all of their dims are rotated')
  return { beta, originalPositions: originalPositions(fields, place) }
}

/** One table of angles, from the object that describes it. */
class RopeReader {
  readonly #fields: ConfigFields
  readonly #headDim: number

  constructor(fields: ConfigFields, headDim: number) {
    this.#fields = fields
    this.#headDim = headDim
  }

  /** @param name of the field that has the table; undefined: the config has none, and nothing is scaled */
  table(name: string, table: ConfigFields | undefined): RopeSpec {
    const theta = readTheta(table?.has('rope_theta') ? table : this.#fields, 'rope_theta')
    const dims = this.#dims(table)
    return { dims, theta, scaling: table ? this.scaling(name, table, dims) : undefined }
  }

  #dims(table: ConfigFields | undefined): number {
    const field = 'partial_rotary_factor'
    const place = table?.has(field) ? table : this.#fields
    const factor = place.optionalNumber(field) ?? 1
    if (place === table && this.#fields.has(field) && this.#fields.number(field) !== factor) {
      this.#fields.refuse(field, `beside the angles it is ${factor}`)
    }
    const dims = Math.floor(this.#headDim * factor)
    if (factor > 1 || dims === 0 || dims % 8 !== 0) {
      place.refuse(field, `it rotates ${dims} dims of ${this.#headDim}; must be a multiple of 8`)
    }
    return dims
  }

  scaling(name: string, table: ConfigFields, dims: number): RopeScaling | undefined {
    const type = table.eitherString('rope_type', 'type')
    // Without a type it is plain, unless it has a number that would scale it.
    const names = NAMES[type ?? 'default']
    if (!names || !Object.hasOwn(NAMES, type ?? 'default')) {
      const reason = type !== undefined && Object.hasOwn(REFUSED_TYPES, type) ? REFUSED_TYPES[type] : undefined
      return this.#fields.refuse(name, reason ?? `supported types: ${Object.keys(NAMES).join(', ')}`)
    }
    const unknown = table.names().find((field) => table.has(field) && !COMMON.includes(field) && !names.includes(field))
    if (unknown !== undefined) this.#fields.refuse(name, `${unknown} is not supported with type ${type ?? '"default"'}`)
    switch (type) {
      case 'linear':
        return { kind: 'linear', factor: table.number('factor') }
      case 'llama3':
        return this.#llama3(table)
      case 'yarn':
        return this.#yarn(table)
      case 'longrope':
      case 'su':
        return this.#longrope(table, dims)
      case 'divisors':
        return { kind: 'divisors', divisors: factors(table, 'divisors', dims) }
      default:
        return undefined
    }
  }

  #llama3(table: ConfigFields): RopeScaling {
    const lowFrequencyFactor = table.number('low_freq_factor')
    const highFrequencyFactor = table.number('high_freq_factor')
    if (highFrequencyFactor <= lowFrequencyFactor) {
      table.refuse('high_freq_factor', `must be above low_freq_factor, which is ${lowFrequencyFactor}`)
    }
    return {
      kind: 'llama3',
      factor: table.number('factor'),
      lowFrequencyFactor,
      highFrequencyFactor,
      originalPositions: originalPositions(this.#fields, table),
    }
  }

  #yarn(table: ConfigFields): RopeScaling {
    const factor = table.number('factor')
    const [fast, slow] = [table.optionalNumber('beta_fast') ?? 32, table.optionalNumber('beta_slow') ?? 1]
    if (fast <= slow) table.refuse('beta_fast', `must be above beta_slow, which is ${slow}`)
    const magnitude = (scale: number) => (factor > 1 ? 0.1 * scale * Math.log(factor) + 1 : 1)
    const [scale, allDims] = [table.optionalNumber('mscale'), table.optionalNumber('mscale_all_dim')]
    const both = scale !== undefined && allDims !== undefined
    const attentionFactor = both ? magnitude(scale) / magnitude(allDims) : magnitude(1)
    return {
      kind: 'yarn',
      factor,
      betaFast: fast,
      betaSlow: slow,
      truncate: table.boolean('truncate', true),
      originalPositions: originalPositions(this.#fields, table),
      attentionFactor: table.optionalNumber('attention_factor') ?? attentionFactor,
    }
  }

  #longrope(table: ConfigFields, dims: number): RopeScaling {
    const original = originalPositions(this.#fields, table)
    const stretch = this.#fields.integer('max_position_embeddings') / original
    const attentionFactor = stretch > 1 ? Math.sqrt(1 + Math.log(stretch) / Math.log(original)) : 1
    return {
      kind: 'longrope',
      shortFactors: factors(table, 'short_factor', dims),
      longFactors: factors(table, 'long_factor', dims),
      originalPositions: original,
      attentionFactor: table.optionalNumber('attention_factor') ?? attentionFactor,
    }
  }
}

/** A base of 1 turns every pair alike, and YaRN divides by its logarithm. */
function readTheta(fields: ConfigFields, name: string): number {
  const theta = fields.number(name)
  return theta > 1 ? theta : fields.refuse(name, 'must be a number above 1')
}

/** Beside the scaling, or at top level as in Phi-3; at least 2, as it is divided by its logarithm. */
function originalPositions(fields: ConfigFields, table: ConfigFields): number {
  const name = 'original_max_position_embeddings'
  const [inner, outer] = [table, fields].map((place) => (place.has(name) ? place.integer(name, 2) : undefined))
  if (inner !== undefined && outer !== undefined && inner !== outer)
    fields.refuse(name, `beside the angles it is ${inner}`)
  return inner ?? outer ?? table.integer(name, 2)
}

/** One for each pair of dims, [dims / 2]. */
function factors(table: ConfigFields, name: string, dims: number): number[] {
  const values = table.numbers(name)
  if (values?.length !== dims / 2) table.refuse(name, `must have ${dims / 2} numbers, one for each pair of dims`)
  return values
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
