/**
 * What does not run, with the reason: families, layers and fields of config.json that mean arithmetic we lack. A model of them must
 * never load, because it would write fluent wrong text.
 */

const GEMMA_3N = 'embeddings of each layer and keys shared between layers are not supported'
const EXPERTS = 'mixture-of-experts layers are not supported'
const LATENT = 'multi-head latent attention is not supported'
const MAMBA = 'Mamba layers are not supported'
const CONVOLUTION = 'convolution layers are not supported'
const DELTA_NET = 'Gated DeltaNet layers are not supported'

/** Why models that people may try do not run, by `model_type`. */
export const REFUSED: Readonly<Record<string, string>> = {
  gemma3n: GEMMA_3N,
  gemma3n_text: GEMMA_3N,
  gemma4: GEMMA_3N,
  gemma4_text: GEMMA_3N,
  mixtral: EXPERTS,
  qwen2_moe: EXPERTS,
  qwen3_moe: EXPERTS,
  granitemoe: EXPERTS,
  granitemoeshared: EXPERTS,
  olmoe: EXPERTS,
  phimoe: EXPERTS,
  gpt_oss: EXPERTS,
  llama4: EXPERTS,
  llama4_text: EXPERTS,
  lfm2_moe: EXPERTS,
  deepseek_v2: LATENT,
  deepseek_v3: LATENT,
  minicpm3: LATENT,
  mamba: MAMBA,
  mamba2: MAMBA,
  falcon_h1: MAMBA,
  jamba: MAMBA,
  bamba: MAMBA,
  nemotron_h: MAMBA,
  lfm2: CONVOLUTION,
  qwen3_5: DELTA_NET,
  qwen3_5_text: DELTA_NET,
  qwen3_next: DELTA_NET,
}

/** Why a layer of `layer_types` does not run. */
export const REFUSED_LAYERS: Readonly<Record<string, string>> = {
  mamba: MAMBA,
  mamba2: MAMBA,
  conv: CONVOLUTION,
  linear_attention: DELTA_NET,
}

/** Fields that mean arithmetic we lack unless they have one of these values or are missing. */
export const FIXED_FIELDS: readonly (readonly [name: string, values: readonly unknown[], reason: string])[] = [
  ['num_local_experts', [0], EXPERTS],
  ['num_experts', [0], EXPERTS],
  ['n_routed_experts', [0], EXPERTS],
  ['q_lora_rank', [0], LATENT],
  ['kv_lora_rank', [0], LATENT],
  ['use_mrope', [false], 'positions of three axes are not supported'],
  ['attn_output_gate', [false], 'gated attention is not supported'],
  ['use_bidirectional_attention', [false], 'attention to later tokens is not supported'],
  ['clip_qkv', [], 'clipped queries, keys and values are not supported'],
  ['hidden_size_per_layer_input', [0], GEMMA_3N],
  ['num_kv_shared_layers', [0], GEMMA_3N],
]
