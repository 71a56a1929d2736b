/**
 * Turns the metadata of a GGUF file into the object that config.json would be, so that one reader serves both. What files do not say
 * comes from a table of families (ggufArchitectures.ts); what would change the arithmetic and is not known is refused, by key. It must
 * never know where bytes come from.
 */

import { GGUF_ARCHITECTURES, type GgufArchitecture, type GgufModel } from './ggufArchitectures.ts'
import { ggufBosId, ggufEndIds } from './ggufEndIds.ts'
import { GgufFields, type GgufMetadata, type GgufTensor } from './ggufFields.ts'
import { type ConfigValues, ggufRopeScaling } from './ggufRope.ts'

/** Why some architectures are refused; the others have no reason but that nobody has built them. */
const REASONS: Readonly<Record<string, string>> = {
  lfm2: 'its convolution layers are not supported',
  lfm2moe: 'its convolution layers and experts are not supported',
  gemma3n: 'its per-layer embeddings are not supported',
  gemma4: 'its per-layer embeddings are not supported',
  granitehybrid: 'its Mamba layers are not supported',
  mamba: 'its state-space layers are not supported',
  mamba2: 'its state-space layers are not supported',
  clip: 'it is the image encoder of another model: load the file of the text model',
}

/** Keys that change the arithmetic, with the value that changes nothing. */
const ARITHMETIC: readonly (readonly [key: string, neutral: unknown])[] = [
  ['expert_count', 0],
  ['attention.causal', true],
  ['attention.sliding_window', 0],
  ['attention.sliding_window_pattern', undefined],
  ['attention.scale', 0],
  ['attention.clamp_kqv', 0],
  ['attention.max_alibi_bias', 0],
  ['attention.temperature_scale', 0],
  ['attention.temperature_length', 0],
  ['attn_logit_softcapping', 0],
  ['final_logit_softcapping', 0],
  ['router_logit_softcapping', 0],
  ['embedding_scale', 1],
  ['residual_scale', 1],
  ['logit_scale', 1],
  ['nextn_predict_layers', 0],
]

/**
 * @param metadata of the first file, where the model is split
 * @param tensors of all files
 * @param values of the tensors that `configTensors` names
 * @returns what `parseModelSpec` takes as config.json
 * @throws MODEL_FORMAT naming the key and its value, or the tensor
 */
export function ggufConfig(
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
  values: ConfigValues,
): Record<string, unknown> {
  const [name, architecture] = architectureOf(metadata)
  const fields = new GgufFields(metadata, `${name}.`)
  for (const [key, neutral] of ARITHMETIC) {
    const value = fields.raw(key)
    if (value === undefined || value === neutral || architecture.reads.includes(key)) continue
    fields.refuse(key, `not supported in a ${name} model; use the model's safetensors files`)
  }

  const localTheta = fields.raw('rope.freq_base_swa')
  if (
    localTheta !== undefined &&
    localTheta !== fields.raw('rope.freq_base') &&
    !architecture.reads.includes('rope.freq_base_swa')
  ) {
    fields.refuse('rope.freq_base_swa', `only rope.freq_base is supported in a ${name} model`)
  }

  const shapes = new Map(tensors.map((tensor) => [tensor.name, tensor.shape]))
  const model = modelOf(fields, shapes)
  const { numHeads, headDim } = model
  const vocabSize = shapes.get('token_embd.weight')?.[0] ?? fields.integer('vocab_size')
  const dims = fields.optional('rope.dimension_count', fields.integer) ?? headDim
  const config = {
    model_type: architecture.modelType,
    architectures: [architecture.architecture],
    hidden_size: model.hiddenSize,
    intermediate_size: fields.integer('feed_forward_length'),
    num_hidden_layers: model.numLayers,
    num_attention_heads: numHeads,
    num_key_value_heads: fields.optional('attention.head_count_kv', fields.integer) ?? numHeads,
    head_dim: headDim,
    vocab_size: vocabSize,
    max_position_embeddings: fields.integer('context_length'),
    rms_norm_eps: fields.number('attention.layer_norm_rms_epsilon'),
    rope_theta: fields.optional('rope.freq_base', fields.number) ?? architecture.ropeTheta,
    rope_scaling: ggufRopeScaling(fields, new Set(shapes.keys()), values, dims),
    tie_word_embeddings: !shapes.has('output.weight'),
    eos_token_id: ggufEndIds(metadata, vocabSize),
    bos_token_id: ggufBosId(metadata, vocabSize) ?? null,
    ...(dims === headDim ? {} : { partial_rotary_factor: partialFactor(fields, dims, headDim) }),
  }
  return { ...config, ...architecture.own(model) }
}

/** @throws MODEL_FORMAT naming the architecture, and what would work */
function architectureOf(metadata: GgufMetadata): [name: string, GgufArchitecture] {
  const general = new GgufFields(metadata, 'general.')
  if ((general.raw('type') ?? 'model') !== 'model') {
    general.refuse('type', 'only "model" is supported: load the file of the language model itself')
  }
  const name = general.string('architecture')
  const found = Object.hasOwn(GGUF_ARCHITECTURES, name) ? GGUF_ARCHITECTURES[name] : undefined
  if (found) return [name, found]
  const reason = Object.hasOwn(REASONS, name) ? `${REASONS[name]}; ` : ''
  return general.refuse('architecture', `${reason}supported: ${Object.keys(GGUF_ARCHITECTURES).join(', ')}`)
}

function modelOf(fields: GgufFields, shapes: ReadonlyMap<string, unknown>): GgufModel {
  const hiddenSize = fields.integer('embedding_length')
  const numHeads = fields.integer('attention.head_count')
  const headDim = fields.optional('attention.key_length', fields.integer) ?? hiddenSize / numHeads
  if (!Number.isInteger(headDim))
    fields.refuse('attention.head_count', `it must divide embedding_length, ${hiddenSize}`)
  if ((fields.raw('attention.value_length') ?? headDim) !== headDim) {
    fields.refuse('attention.value_length', `only that of keys is supported, ${headDim}`)
  }
  const numLayers = fields.integer('block_count')
  if (numLayers > shapes.size) fields.refuse('block_count', `the file has no more than ${shapes.size} tensors`)
  return {
    fields,
    numLayers,
    hiddenSize,
    numHeads,
    headDim,
    attentionBias: shapes.has('blk.0.attn_q.bias') || shapes.has('blk.0.attn_qkv.bias'),
    mlpBias: shapes.has('blk.0.ffn_up.bias'),
  }
}

/** A factor that gives the same dims again: ⌊headDim · factor⌋. */
function partialFactor(fields: GgufFields, dims: number, headDim: number): number {
  if (dims > headDim) fields.refuse('rope.dimension_count', `a head has ${headDim} dims`)
  const factor = dims / headDim
  return Math.floor(headDim * factor) === dims ? factor : (dims + 0.5) / headDim
}
