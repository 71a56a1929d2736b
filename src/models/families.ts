/**
 * The families of models that run, as data: what a config.json of each leaves unsaid, and what its files do differently. Read by this
 * folder alone: after it a family is its properties (modelSpec.ts). It must never hold arithmetic.
 */

import type { JsonObject } from './configFields.ts'
import type { ModelSpec, MtpSpec } from './modelSpec.ts'
import type { BlockRole } from './weightNames.ts'

/** `stated`: as config.json says, in `attention_bias` or `mlp_bias`; absent means no. */
type Bias = 'always' | 'never' | 'stated'

/** One matrix of a file that holds the rows of several, in this order. */
export interface FusedMatrix {
  /** within a block */
  readonly module: string
  readonly roles: readonly BlockRole[]
}

export interface Family {
  /** of config.json, which may leave it out */
  readonly architecture: string
  readonly norms: ModelSpec['norms']
  readonly qkNorm: ModelSpec['qkNorm']
  readonly qkvBias: Bias
  /** of attention's output projection */
  readonly outputBias: Bias
  readonly mlpBias: Bias
  /**
   * Which layers have a window if `layer_types` does not say:
   * - `none`: no layer.
   * - `all`: all of them, if `sliding_window` is set.
   * - `asked`: those from `max_window_layers` on, if `use_sliding_window` is true.
   * - `pattern`: all but every `sliding_window_pattern`-th.
   */
  readonly window: 'none' | 'all' | 'asked' | 'pattern'
  /** embeddings are multiplied by √hidden_size */
  readonly scaledEmbeddings: boolean
  /** files hold the weights of norms less this */
  readonly normOffset: 0 | 1
  /** values of fields that config.json may leave out, where they are not those of all families */
  readonly defaults: JsonObject
  /** the field of the MLP's width */
  readonly widthField: 'intermediate_size' | 'shared_intermediate_size'
  /** fields that must be stated, as their default means arithmetic that we lack or has changed over time */
  readonly required: readonly string[]
  /** used where the matrices are not there by themselves */
  readonly fused: readonly FusedMatrix[]
  /** other names of a block's modules */
  readonly renamed: Readonly<Partial<Record<BlockRole, string>>>
  /** of checkpoints that have one */
  readonly mtp: MtpSpec | undefined
}

const LLAMA: Family = {
  architecture: 'LlamaForCausalLM',
  norms: 'pre',
  qkNorm: undefined,
  qkvBias: 'stated',
  outputBias: 'stated',
  mlpBias: 'stated',
  window: 'none',
  scaledEmbeddings: false,
  normOffset: 0,
  defaults: { rope_theta: 10_000 },
  widthField: 'intermediate_size',
  required: [],
  fused: [],
  renamed: {},
  mtp: undefined,
}

const MISTRAL: Family = {
  ...LLAMA,
  architecture: 'MistralForCausalLM',
  qkvBias: 'never',
  outputBias: 'never',
  mlpBias: 'never',
  window: 'all',
  defaults: {},
}

const QWEN2: Family = {
  ...LLAMA,
  architecture: 'Qwen2ForCausalLM',
  qkvBias: 'always',
  outputBias: 'never',
  mlpBias: 'never',
  window: 'asked',
  defaults: {},
}

const GEMMA2: Family = {
  ...LLAMA,
  architecture: 'Gemma2ForCausalLM',
  norms: 'sandwich',
  mlpBias: 'never',
  window: 'pattern',
  scaledEmbeddings: true,
  normOffset: 1,
  defaults: {
    rope_theta: 10_000,
    head_dim: 256,
    hidden_activation: 'gelu_pytorch_tanh',
    query_pre_attn_scalar: 256,
    attn_logit_softcapping: 50,
    final_logit_softcapping: 30,
    sliding_window: 4096,
    sliding_window_pattern: 2,
    tie_word_embeddings: true,
  },
}

/** The families by `model_type` of config.json (of its `text_config` where it has one). */
export const FAMILIES: Readonly<Record<string, Family>> = {
  llama: LLAMA,
  mistral: MISTRAL,
  ministral: { ...MISTRAL, architecture: 'MinistralForCausalLM' },
  ministral3: { ...MISTRAL, architecture: 'Ministral3ForCausalLM' },
  qwen2: QWEN2,
  qwen3: {
    ...QWEN2,
    architecture: 'Qwen3ForCausalLM',
    qkNorm: 'head',
    qkvBias: 'stated',
    outputBias: 'stated',
    mtp: { blocks: 1, names: 'qwen3-next', concatOrder: 'embedding-first', maskFirstEmbedding: false },
  },
  mimo: {
    ...QWEN2,
    architecture: 'MiMoForCausalLM',
    window: 'none',
    mtp: { blocks: 1, names: 'mimo', concatOrder: 'hidden-first', maskFirstEmbedding: true },
  },
  gemma2: GEMMA2,
  gemma3_text: {
    ...GEMMA2,
    architecture: 'Gemma3ForCausalLM',
    qkNorm: 'head',
    defaults: {
      vocab_size: 262_208,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      head_dim: 256,
      hidden_activation: 'gelu_pytorch_tanh',
      max_position_embeddings: 131_072,
      rms_norm_eps: 1e-6,
      rope_theta: 1e6,
      rope_local_base_freq: 10_000,
      query_pre_attn_scalar: 256,
      sliding_window: 4096,
      sliding_window_pattern: 6,
      tie_word_embeddings: true,
    },
  },
  phi3: {
    ...MISTRAL,
    architecture: 'Phi3ForCausalLM',
    fused: [
      { module: 'self_attn.qkv_proj', roles: ['q', 'k', 'v'] },
      { module: 'mlp.gate_up_proj', roles: ['gate', 'up'] },
    ],
  },
  smollm3: {
    ...LLAMA,
    architecture: 'SmolLM3ForCausalLM',
    window: 'asked',
    defaults: { rope_theta: 2e6, no_rope_layer_interval: 4, tie_word_embeddings: true },
  },
  granite: { ...LLAMA, architecture: 'GraniteForCausalLM' },
  granitemoehybrid: {
    ...LLAMA,
    architecture: 'GraniteMoeHybridForCausalLM',
    mlpBias: 'never',
    widthField: 'shared_intermediate_size',
    required: ['layer_types', 'num_local_experts', 'position_embedding_type'],
    fused: [{ module: 'shared_mlp.input_linear', roles: ['gate', 'up'] }],
    renamed: { down: 'shared_mlp.output_linear' },
  },
  olmo2: { ...LLAMA, architecture: 'Olmo2ForCausalLM', norms: 'post', qkNorm: 'whole', mlpBias: 'never' },
}

/** Undefined if we do not know it. */
export function familyOf(modelType: string): Family | undefined {
  return Object.hasOwn(FAMILIES, modelType) ? FAMILIES[modelType] : undefined
}

/** Models of text and images, of which the text model (`text_config`) runs, by `model_type`. */
export const WRAPPERS: Readonly<Record<string, string>> = {
  gemma3: 'Gemma3ForConditionalGeneration',
  mistral3: 'Mistral3ForConditionalGeneration',
}
