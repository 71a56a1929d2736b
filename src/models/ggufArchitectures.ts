/**
 * The families that GGUF files may hold, by `general.architecture`: what each says in keys of its own, and what llama.cpp knows of it
 * without a key (gguf files do not say which layers slide, or which activation there is). Fields are named as in config.json, so that
 * one reader serves both. Sources: conversion/*.py and src/models/*.cpp of llama.cpp. It must never know names of tensors.
 */

import { type GgufFields, isNumbers } from './ggufFields.ts'

/** What the families' own fields are read from. */
export interface GgufModel {
  /** the keys under the architecture */
  readonly fields: GgufFields
  readonly numLayers: number
  readonly hiddenSize: number
  readonly numHeads: number
  readonly headDim: number
  /** which projections have biases, as the tensors tell */
  readonly attentionBias: boolean
  readonly mlpBias: boolean
}

export interface GgufArchitecture {
  /** `model_type` of config.json */
  readonly modelType: string
  readonly architecture: string
  /** θ of files without `rope.freq_base` */
  readonly ropeTheta: number
  /** keys that change the arithmetic and that this family reads; in any other they are refused */
  readonly reads: readonly string[]
  /** fields of config.json beyond those of every family */
  own(model: GgufModel): Record<string, unknown>
}

const SILU = { hidden_act: 'silu' }
const GELU = { hidden_activation: 'gelu_pytorch_tanh' }
const WINDOW = 'attention.sliding_window'
const PATTERN = 'attention.sliding_window_pattern'
/** θ of llama.cpp where the file has none */
const THETA = 10_000

export const GGUF_ARCHITECTURES: Readonly<Record<string, GgufArchitecture>> = {
  // Mistral's converter is Llama's. It leaves the window out, and llama.cpp attends to everything; others may write it.
  llama: {
    ...named('llama', 'LlamaForCausalLM', [WINDOW]),
    own: ({ fields, attentionBias, mlpBias }) => {
      const window = fields.optional(WINDOW, (key) => fields.integer(key, 0)) || undefined
      const mistral = { model_type: 'mistral', architectures: ['MistralForCausalLM'], sliding_window: window }
      return { ...SILU, attention_bias: attentionBias, mlp_bias: mlpBias, ...(window === undefined ? {} : mistral) }
    },
  },
  qwen2: {
    ...named('qwen2', 'Qwen2ForCausalLM'),
    own: () => ({ ...SILU, use_sliding_window: false }),
  },
  qwen3: {
    ...named('qwen3', 'Qwen3ForCausalLM'),
    own: ({ attentionBias }) => ({ ...SILU, use_sliding_window: false, attention_bias: attentionBias }),
  },
  gemma2: {
    ...named('gemma2', 'Gemma2ForCausalLM', [WINDOW, PATTERN, 'attn_logit_softcapping', 'final_logit_softcapping']),
    own: (model) => ({
      ...GELU,
      attention_bias: model.attentionBias,
      // Of the 27B alone the scale is not that of the head: only its number of layers tells.
      query_pre_attn_scalar: queryScalar(model, 46),
      attn_logit_softcapping: optionalNumber(model, 'attn_logit_softcapping'),
      final_logit_softcapping: optionalNumber(model, 'final_logit_softcapping'),
      sliding_window: model.fields.optional(WINDOW, model.fields.integer) ?? 4096,
      layer_types: layerTypes(model, 2),
    }),
  },
  gemma3: {
    ...named('gemma3_text', 'Gemma3ForCausalLM', [WINDOW, PATTERN, 'final_logit_softcapping', 'rope.freq_base_swa']),
    ropeTheta: 1_000_000,
    own: (model) => {
      const window = model.fields.optional(WINDOW, model.fields.integer)
      return {
        ...GELU,
        attention_bias: model.attentionBias,
        query_pre_attn_scalar: queryScalar(model, 62),
        attn_logit_softcapping: null,
        final_logit_softcapping: optionalNumber(model, 'final_logit_softcapping'),
        rope_local_base_freq: optionalNumber(model, 'rope.freq_base_swa') ?? 10_000,
        sliding_window: window ?? null,
        ...(isNumbers(model.fields.raw(PATTERN))
          ? { layer_types: layerTypes(model, 6) }
          : {
              sliding_window_pattern:
                window === undefined ? 1 : (model.fields.optional(PATTERN, model.fields.integer) ?? 6),
            }),
      }
    },
  },
  phi3: {
    ...named('phi3', 'Phi3ForCausalLM', [WINDOW]),
    own: ({ fields, attentionBias }) => ({
      ...SILU,
      attention_bias: attentionBias,
      // The converter writes 0 for "none".
      sliding_window: fields.optional(WINDOW, (key) => fields.integer(key, 0)) || null,
    }),
  },
  smollm3: {
    ...named('smollm3', 'SmolLM3ForCausalLM'),
    own: ({ numLayers, attentionBias, mlpBias }) => ({
      ...SILU,
      attention_bias: attentionBias,
      mlp_bias: mlpBias,
      use_sliding_window: false,
      no_rope_layer_interval: 4,
      no_rope_layers: Array.from({ length: numLayers }, (_, layer) => ((layer + 1) % 4 === 0 ? 0 : 1)),
    }),
  },
  granite: {
    ...named('granite', 'GraniteForCausalLM', ['attention.scale', 'embedding_scale', 'residual_scale', 'logit_scale']),
    own: (model) => ({
      ...SILU,
      attention_bias: model.attentionBias,
      mlp_bias: model.mlpBias,
      attention_multiplier: optionalNumber(model, 'attention.scale') ?? 1 / Math.sqrt(model.headDim),
      embedding_multiplier: optionalNumber(model, 'embedding_scale') ?? 1,
      residual_multiplier: optionalNumber(model, 'residual_scale') ?? 1,
      logits_scaling: model.fields.number('logit_scale'),
      // llama.cpp's switch for "no rotary embedding" in this family.
      position_embedding_type: model.fields.raw('rope.scaling.finetuned') === false ? 'nope' : 'rope',
    }),
  },
  olmo2: {
    ...named('olmo2', 'Olmo2ForCausalLM'),
    own: ({ attentionBias }) => ({ ...SILU, attention_bias: attentionBias }),
  },
}

function named(modelType: string, architecture: string, reads: readonly string[] = []): Omit<GgufArchitecture, 'own'> {
  return { modelType, architecture, ropeTheta: THETA, reads }
}

/** null where the file has no such key, or 0: llama.cpp's "none". */
function optionalNumber({ fields }: GgufModel, key: string): number | null {
  const value = fields.raw(key)
  return value === undefined || value === 0 ? null : fields.number(key)
}

/** Scores are divided by its square root. In the biggest model of the family it is not the head's size. */
function queryScalar({ numLayers, hiddenSize, numHeads, headDim }: GgufModel, layersOfBiggest: number): number {
  return numLayers === layersOfBiggest ? hiddenSize / numHeads : headDim
}

/** The file's own list; else every `period`-th layer attends to everything. */
function layerTypes({ fields, numLayers }: GgufModel, period: number): string[] {
  const pattern = fields.raw(PATTERN)
  const type = (slides: boolean) => (slides ? 'sliding_attention' : 'full_attention')
  if (isNumbers(pattern)) {
    if (pattern.length !== numLayers)
      fields.refuse(PATTERN, `it must have one value for each of the ${numLayers} layers`)
    return Array.from(pattern, (slides) => type(slides !== 0))
  }
  const every = fields.optional(PATTERN, fields.integer) ?? period
  return Array.from({ length: numLayers }, (_, layer) => type((layer + 1) % every !== 0))
}
