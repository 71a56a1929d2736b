/**
 * Reads the architecture of a model from config.json, of either generation of Transformers. A config that contradicts itself or needs
 * unsupported arithmetic is refused by field, because ignoring the field would produce fluent wrong text. It must never know tensor
 * names (weightNames.ts), bytes, or a device.
 */

import { parseQuantisation } from './checkpointQuantisation.ts'
import { ConfigFields, shown } from './configFields.ts'
import { FAMILIES, type Family, familyOf, WRAPPERS } from './families.ts'
import { parseGenerationDefaults } from './generationDefaults.ts'
import { attentionKinds, rotatedLayers, windowSize } from './layerConfig.ts'
import type { LayerSpec, ModelSpec } from './modelSpec.ts'
import { type RopeConfig, readRopes } from './ropeConfig.ts'
import { FIXED_FIELDS, REFUSED } from './unsupported.ts'

/** What bounds the work that a config may ask for before a weight is seen. */
const MOST_LAYERS = 1000
const MOST_HEAD_DIM = 1024

const ACTIVATIONS: Readonly<Record<string, ModelSpec['activation']>> = {
  silu: 'silu',
  swish: 'silu',
  gelu_pytorch_tanh: 'gelu_tanh',
}

const NOT_ROTATED: RopeConfig = { ropes: [], indexOf: { full: 0, sliding: 0 }, queryScaling: undefined }

/** The text model that a config describes. */
interface TextModel {
  readonly fields: ConfigFields
  /** the whole config, where the text model's is inside another */
  readonly outer: ConfigFields
  readonly name: string
  readonly family: Family
  readonly architecture: string
}

/**
 * Reads config.json, and generation_config.json, whose end-of-text ids come first.
 * @throws MODEL_FORMAT naming the field and its value
 */
export function parseModelSpec(config: unknown, generationConfig?: unknown): ModelSpec {
  const model = textModel(config)
  const { fields, family } = model
  for (const name of family.required) if (!fields.has(name)) fields.refuse(name, 'it must be stated')
  for (const [name, values, reason] of FIXED_FIELDS) {
    if (fields.has(name) && !values.includes(fields.raw(name))) fields.refuse(name, reason)
  }
  parseQuantisation(config)

  const sizes = readSizes(fields, family)
  return {
    family: model.name,
    architecture: model.architecture,
    ...sizes,
    rmsNormEps: fields.number('rms_norm_eps'),
    norms: family.norms,
    qkNorm: family.qkNorm,
    ...readBiases(fields, family),
    activation: readActivation(fields),
    ...readScales(fields, family, sizes),
    ...readLayers(fields, family, sizes),
    tiedEmbeddings: readTied(model),
    ...readSpecialTokens(model, generationConfig, sizes.vocabSize),
    mtp: hasDrafter(fields, family) ? family.mtp : undefined,
  }
}

/** @throws MODEL_FORMAT unless it is a model of a known family */
function textModel(config: unknown): TextModel {
  const outer = new ConfigFields('config.json', config)
  const type = outer.string('model_type')
  const wrapper = Object.hasOwn(WRAPPERS, type) ? WRAPPERS[type] : undefined
  if (wrapper && !outer.has('text_config')) outer.refuse('text_config', 'it must describe the text model')
  const fields = (wrapper === undefined ? undefined : outer.nested('text_config')) ?? outer
  const name = fields.string('model_type')
  const family = familyOf(name)
  if (!family) {
    const supported = [...Object.keys(FAMILIES), ...Object.keys(WRAPPERS)].join(', ')
    const reason = Object.hasOwn(REFUSED, name) ? `${REFUSED[name]}; ` : ''
    return fields.refuse('model_type', `${reason}supported: ${supported}`)
  }
  const architecture = wrapper ?? family.architecture
  const stated = outer.raw('architectures')
  if (stated !== undefined && !(Array.isArray(stated) && stated.length === 1 && stated[0] === architecture)) {
    outer.refuse('architectures', `supported for this model_type: ["${architecture}"]`)
  }
  return { fields: fields.withDefaults(family.defaults), outer, name, family, architecture }
}

type Sizes = Pick<
  ModelSpec,
  'hiddenSize' | 'intermediateSize' | 'numLayers' | 'numHeads' | 'numKvHeads' | 'headDim' | 'vocabSize' | 'maxPositions'
>

function readSizes(fields: ConfigFields, { widthField }: Family): Sizes {
  const numHeads = fields.integer('num_attention_heads')
  const numKvHeads = fields.has('num_key_value_heads') ? fields.integer('num_key_value_heads') : numHeads
  if (numHeads % numKvHeads !== 0) {
    fields.refuse('num_key_value_heads', `it must divide num_attention_heads, which is ${numHeads}`)
  }
  const hiddenSize = words(fields, 'hidden_size')
  const headDim = fields.has('head_dim') ? fields.integer('head_dim', 1, MOST_HEAD_DIM) : hiddenSize / numHeads
  if (headDim % 8 !== 0 || headDim > MOST_HEAD_DIM) {
    const found = fields.has('head_dim') ? '' : `hidden_size / num_attention_heads is ${headDim}, and `
    fields.refuse('head_dim', `${found}it must be a multiple of 8`)
  }
  return {
    hiddenSize,
    intermediateSize: words(fields, widthField),
    numLayers: fields.integer('num_hidden_layers', 1, MOST_LAYERS),
    numHeads,
    numKvHeads,
    headDim,
    vocabSize: fields.integer('vocab_size'),
    maxPositions: fields.integer('max_position_embeddings'),
  }
}

/** A size of rows, which kernels read in words of up to eight codes. */
function words(fields: ConfigFields, name: string): number {
  const size = fields.integer(name)
  return size % 8 === 0 ? size : fields.refuse(name, 'it must be a multiple of 8')
}

function readBiases(fields: ConfigFields, family: Family): Pick<ModelSpec, 'qkvBias' | 'outputBias' | 'mlpBias'> {
  const attention = fields.boolean('attention_bias', family.qkvBias === 'always')
  const mlp = fields.boolean('mlp_bias', false)
  if (family.qkvBias !== 'stated' && attention !== (family.qkvBias === 'always')) {
    fields.refuse('attention_bias', `models of this family ${family.qkvBias} have biases of queries, keys and values`)
  }
  if (family.mlpBias === 'never' && mlp) fields.refuse('mlp_bias', 'models of this family have no biases in the MLP')
  return { qkvBias: attention, outputBias: family.outputBias === 'stated' && attention, mlpBias: mlp }
}

function readActivation(fields: ConfigFields): ModelSpec['activation'] {
  const field = fields.states('hidden_activation') || !fields.has('hidden_act') ? 'hidden_activation' : 'hidden_act'
  const name = fields.eitherString(field, field === 'hidden_act' ? 'hidden_activation' : 'hidden_act') ?? 'silu'
  const found = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined
  return found ?? fields.refuse(field, `supported: ${Object.keys(ACTIVATIONS).map(shown).join(', ')}`)
}

type Scales = Pick<
  ModelSpec,
  'attentionScale' | 'attentionSoftcap' | 'embeddingScale' | 'residualScale' | 'logitScale' | 'logitSoftcap'
>

function readScales(fields: ConfigFields, family: Family, { headDim, hiddenSize }: Sizes): Scales {
  const scalar = fields.optionalNumber('query_pre_attn_scalar') ?? headDim
  return {
    attentionScale: fields.optionalNumber('attention_multiplier') ?? 1 / Math.sqrt(scalar),
    attentionSoftcap: fields.optionalNumber('attn_logit_softcapping'),
    embeddingScale:
      fields.optionalNumber('embedding_multiplier') ?? (family.scaledEmbeddings ? Math.sqrt(hiddenSize) : 1),
    residualScale: fields.optionalNumber('residual_multiplier') ?? 1,
    logitScale: 1 / (fields.optionalNumber('logits_scaling') ?? 1),
    logitSoftcap: fields.optionalNumber('final_logit_softcapping'),
  }
}

function readLayers(
  fields: ConfigFields,
  family: Family,
  { numLayers, headDim, maxPositions }: Sizes,
): Pick<ModelSpec, 'ropes' | 'layers' | 'queryScaling'> {
  const kinds = attentionKinds(fields, family.window, numLayers)
  const window = kinds.includes('sliding') ? windowSize(fields, maxPositions) : undefined
  const rotated = rotatedLayers(fields, numLayers)
  const { ropes, indexOf, queryScaling } = rotated.includes(true) ? readRopes(fields, headDim) : NOT_ROTATED
  const layers = kinds.map(
    (kind, layer): LayerSpec => ({
      cache: 'paged',
      window: kind === 'sliding' ? window : undefined,
      rope: rotated[layer] ? indexOf[kind] : undefined,
    }),
  )
  if (queryScaling && rotated.includes(false)) {
    fields.refuse('no_rope_layers', 'queries that are scaled by position are rotated in every layer')
  }
  return { ropes, layers, queryScaling }
}

/** A wrapper may say it beside its text model, or inside. */
function readTied({ fields, outer }: TextModel): boolean {
  const name = 'tie_word_embeddings'
  return (!fields.states(name) && outer.states(name) ? outer : fields).boolean(name, false)
}

function readSpecialTokens(
  { fields, outer }: TextModel,
  generationConfig: unknown,
  vocabSize: number,
): Pick<ModelSpec, 'eosTokenIds' | 'bosTokenId'> {
  const places = [fields, outer]
  const ends = places.flatMap((place) => place.tokenIds('eos_token_id', vocabSize))
  const generation = parseGenerationDefaults(generationConfig, vocabSize).eosTokenIds
  return {
    eosTokenIds: [...new Set([...generation, ...ends])],
    bosTokenId: places.flatMap((place) => place.tokenIds('bos_token_id', vocabSize))[0],
  }
}

/** Where we know the family's drafter; others run without. */
function hasDrafter(fields: ConfigFields, { mtp }: Family): boolean {
  const name = 'num_nextn_predict_layers'
  const blocks = mtp && fields.has(name) ? fields.integer(name, 0) : 0
  if (blocks > 1) fields.refuse(name, 'a drafter of several chained blocks is not supported')
  return blocks === 1
}
