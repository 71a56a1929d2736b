/**
 * Reads the architecture of a model from config.json. A config that needs unsupported arithmetic is refused by field, because
 * ignoring the field would produce fluent wrong text. It must never know tensor names (weightNames.ts), bytes, or a device.
 */

import { SAMPLING_NUMBERS, type SamplingField } from '../protocol/ranges.ts'
import { ConfigFields } from './configFields.ts'
import type { LayerSpec, ModelSpec, MtpSpec } from './modelSpec.ts'

/** The defaults in a model's generation_config.json. */
export interface GenerationDefaults {
  /** recommended sampling parameters */
  readonly sampling: { readonly [field in SamplingField]?: number }
  readonly eosTokenIds: readonly number[]
}

/** Properties of a family that config.json does not state. */
interface Family extends Pick<ModelSpec, 'family' | 'architecture' | 'qkvBias' | 'qkNorm'> {
  /** drafter of checkpoints that have one */
  readonly mtp: MtpSpec
}

const FAMILIES: readonly Family[] = [
  {
    family: 'qwen3',
    architecture: 'Qwen3ForCausalLM',
    qkvBias: false,
    qkNorm: 'head',
    mtp: { blocks: 1, names: 'qwen3-next', concatOrder: 'embedding-first', maskFirstEmbedding: false },
  },
  {
    family: 'mimo',
    architecture: 'MiMoForCausalLM',
    qkvBias: true,
    qkNorm: undefined,
    mtp: { blocks: 1, names: 'mimo', concatOrder: 'hidden-first', maskFirstEmbedding: true },
  },
]

/** Fields with a single supported value, if present: any other changes the arithmetic. */
const FIXED_FIELDS: readonly (readonly [name: string, value: unknown])[] = [
  ['hidden_act', 'silu'],
  ['mlp_bias', false],
  ['use_sliding_window', false],
  ['use_mrope', false],
  ['partial_rotary_factor', 1],
]

/** Sizes that must be multiples of 4, the width of the kernels' words. */
const WORD_SIZES = ['hidden_size', 'intermediate_size', 'head_dim'] as const

/**
 * Reads config.json (and generation_config.json, whose end-of-text ids come first, as in Transformers).
 * @throws MODEL_FORMAT naming the field and its value
 */
export function parseModelSpec(config: unknown, generationConfig?: unknown): ModelSpec {
  const fields = new ConfigFields('config.json', config)
  const { mtp, ...family } = checkFamily(fields)
  for (const [name, value] of [...FIXED_FIELDS, ['attention_bias', family.qkvBias] as const]) {
    if (fields.has(name) && fields.raw(name) !== value)
      fields.refuse(name, `only ${JSON.stringify(value)} is supported`)
  }
  if (fields.has('quantization_config')) {
    fields.refuse('quantization_config', 'pre-quantised checkpoints are not supported; use the BF16, F16 or F32 one')
  }

  const numLayers = fields.integer('num_hidden_layers')
  checkLayerTypes(fields, numLayers)
  const numHeads = fields.integer('num_attention_heads')
  const numKvHeads = fields.integer('num_key_value_heads')
  if (numHeads % numKvHeads !== 0) {
    fields.refuse('num_key_value_heads', `it must divide num_attention_heads, which is ${numHeads}`)
  }
  for (const name of WORD_SIZES) {
    if (fields.integer(name) % 4 !== 0) fields.refuse(name, 'it must be a multiple of 4')
  }

  const vocabSize = fields.integer('vocab_size')
  const headDim = fields.integer('head_dim')
  const eosTokenIds = parseGenerationDefaults(generationConfig, vocabSize).eosTokenIds
  return {
    ...family,
    hiddenSize: fields.integer('hidden_size'),
    intermediateSize: fields.integer('intermediate_size'),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    vocabSize,
    maxPositions: fields.integer('max_position_embeddings'),
    rmsNormEps: fields.number('rms_norm_eps'),
    norms: 'pre',
    outputBias: false,
    mlpBias: false,
    activation: 'silu',
    attentionScale: 1 / Math.sqrt(headDim),
    attentionSoftcap: undefined,
    queryScaling: undefined,
    embeddingScale: 1,
    residualScale: 1,
    logitScale: 1,
    logitSoftcap: undefined,
    ropes: [{ dims: headDim, theta: ropeTheta(fields), scaling: undefined }],
    tiedEmbeddings: fields.boolean('tie_word_embeddings', false),
    eosTokenIds: eosTokenIds.length > 0 ? eosTokenIds : fields.tokenIds('eos_token_id', vocabSize),
    bosTokenId: fields.tokenIds('bos_token_id', vocabSize)[0],
    layers: Array.from({ length: numLayers }, (): LayerSpec => ({ cache: 'paged', window: undefined, rope: 0 })),
    mtp: hasDrafter(fields) ? mtp : undefined,
  }
}

/**
 * Reads generation_config.json; undefined if the model has none. `do_sample: false` means greedy, whatever the other
 * fields say.
 * @throws MODEL_FORMAT naming the field and its value
 */
export function parseGenerationDefaults(
  generationConfig: unknown,
  vocabSize = Number.POSITIVE_INFINITY,
): GenerationDefaults {
  const fields = new ConfigFields('generation_config.json', generationConfig ?? {})
  const sampling: { [field in SamplingField]?: number } = {}
  for (const [field, range] of Object.entries(SAMPLING_NUMBERS)) {
    if (fields.has(field)) sampling[field as SamplingField] = fields.within(field, range)
  }
  if (!fields.boolean('do_sample', true)) sampling.temperature = 0
  return { sampling, eosTokenIds: fields.tokenIds('eos_token_id', vocabSize) }
}

function checkFamily(fields: ConfigFields): Family {
  const type = fields.string('model_type')
  const found = FAMILIES.find(({ family }) => family === type)
  if (!found) fields.refuse('model_type', `supported: ${FAMILIES.map(({ family }) => family).join(', ')}`)
  const architectures = fields.raw('architectures')
  if (!Array.isArray(architectures) || architectures.length !== 1 || architectures[0] !== found.architecture) {
    fields.refuse('architectures', `supported for this model_type: ["${found.architecture}"]`)
  }
  return found
}

function checkLayerTypes(fields: ConfigFields, numLayers: number): void {
  if (!fields.has('layer_types')) return
  const types = fields.raw('layer_types')
  if (!Array.isArray(types) || types.length !== numLayers || types.some((type) => type !== 'full_attention')) {
    fields.refuse('layer_types', `only "full_attention" for each of the ${numLayers} layers is supported`)
  }
}

/** θ of unscaled rotary embedding, from `rope_theta` or from the newer `rope_parameters`; any scaling is refused. */
function ropeTheta(fields: ConfigFields): number {
  const scaling = fields.nested('rope_scaling')
  if (scaling && ropeType(scaling) !== 'default')
    fields.refuse('rope_scaling', 'only null or type "default" is supported')
  const parameters = fields.nested('rope_parameters')
  if (!parameters) return fields.number('rope_theta')

  const type = ropeType(parameters) ?? 'default'
  const known = new Set(['rope_type', 'type', 'rope_theta', 'partial_rotary_factor'])
  const partial = parameters.raw('partial_rotary_factor') ?? 1
  if (type !== 'default' || partial !== 1 || parameters.names().some((name) => !known.has(name))) {
    fields.refuse('rope_parameters', 'only type "default" with rope_theta is supported')
  }
  const theta = parameters.number('rope_theta')
  if (fields.has('rope_theta') && fields.number('rope_theta') !== theta) {
    fields.refuse('rope_theta', `rope_parameters says ${theta}`)
  }
  return theta
}

function ropeType(scaling: ConfigFields): unknown {
  return scaling.raw('rope_type') ?? scaling.raw('type')
}

function hasDrafter(fields: ConfigFields): boolean {
  const name = 'num_nextn_predict_layers'
  const blocks = fields.has(name) ? fields.integer(name, 0) : 0
  if (blocks > 1) fields.refuse(name, 'a drafter of several chained blocks is not supported')
  return blocks === 1
}
