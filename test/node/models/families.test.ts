/** What a config of each family means, where it leaves something out, says it in the other generation's way, or contradicts itself. */

import { describe, expect, it } from 'vitest'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import { fixtureFolder } from '../../helpers/boundWeights.ts'
import { readJson, thrownBy } from '../../helpers/modelFiles.ts'

type Json = Record<string, unknown>

function configOf(fixture: string, change: Json = {}): Json {
  return { ...readJson(fixtureFolder(fixture), 'config.json'), ...change }
}

const WINDOWS = (spec: ReturnType<typeof parseModelSpec>) => spec.layers.map(({ window }) => window)

async function refusal(config: Json): Promise<string> {
  const { code, message } = await thrownBy(() => parseModelSpec(config))
  expect(code).toBe('MODEL_FORMAT')
  return message
}

describe('properties', () => {
  it('of a model without head_dim and num_key_value_heads follow from the heads', () => {
    const spec = parseModelSpec(configOf('llama', { head_dim: null, num_key_value_heads: undefined }))
    expect(spec).toMatchObject({ headDim: 32, numKvHeads: 4, attentionScale: 32 ** -0.5 })
  })

  it.each([
    ['llama', false],
    ['qwen3-mtp', false],
    ['granite', false],
    ['gemma3', true],
    ['gemma2', true],
    ['smollm3', true],
  ])('of %s: a missing tie_word_embeddings means %s', (fixture, tied) => {
    expect(parseModelSpec(configOf(fixture, { tie_word_embeddings: undefined })).tiedEmbeddings).toBe(tied)
    expect(parseModelSpec(configOf(fixture, { tie_word_embeddings: !tied })).tiedEmbeddings).toBe(!tied)
  })

  it('of Gemma: sandwiched norms, scaled embeddings, its own query scale, both caps', () => {
    expect(parseModelSpec(configOf('gemma2'))).toMatchObject({
      norms: 'sandwich',
      embeddingScale: 96 ** 0.5,
      attentionScale: 40 ** -0.5,
      attentionSoftcap: 8,
      logitSoftcap: 12,
      activation: 'gelu_tanh',
      qkNorm: undefined,
    })
    // Transformers' own defaults; null says that there is none.
    const left = { attn_logit_softcapping: undefined, final_logit_softcapping: null, query_pre_attn_scalar: undefined }
    const spec = parseModelSpec(configOf('gemma2', { ...left, hidden_activation: undefined }))
    expect(spec).toMatchObject({ attentionSoftcap: 50, logitSoftcap: undefined, attentionScale: 1 / 16 })
    expect(spec.activation).toBe('gelu_tanh')
  })

  it('of Granite: four multipliers', () => {
    expect(parseModelSpec(configOf('granite'))).toMatchObject({
      embeddingScale: 12,
      residualScale: 0.22,
      attentionScale: 0.04,
      logitScale: 1 / 3,
    })
  })

  it('of OLMo 2: norms of outputs, and of whole queries and keys', () => {
    expect(parseModelSpec(configOf('olmo2'))).toMatchObject({ norms: 'post', qkNorm: 'whole' })
  })

  it('biases are as the family has them, or as the config says', () => {
    const biases = (fixture: string, change?: Json) => {
      const { qkvBias, outputBias, mlpBias } = parseModelSpec(configOf(fixture, change))
      return [qkvBias, outputBias, mlpBias]
    }
    expect(biases('llama')).toEqual([false, false, false])
    expect(biases('llama', { attention_bias: true })).toEqual([true, true, false])
    expect(biases('granite', { mlp_bias: true })).toEqual([false, false, true])
    expect(biases('qwen2-mlx-mixed')).toEqual([true, false, false])
    expect(biases('mistral')).toEqual([false, false, false])
  })

  it('a dense Granite 4 takes the width of its shared MLP, and may have no positions', () => {
    const dense = {
      model_type: 'granitemoehybrid',
      architectures: ['GraniteMoeHybridForCausalLM'],
      num_local_experts: 0,
      shared_intermediate_size: 512,
      position_embedding_type: 'nope',
      layer_types: ['attention', 'attention'],
    }
    const spec = parseModelSpec(configOf('granite', dense))
    expect(spec).toMatchObject({ intermediateSize: 512, ropes: [], embeddingScale: 12 })
    expect(spec.layers.map(({ rope }) => rope)).toEqual([undefined, undefined])
    expect(parseModelSpec(configOf('granite', { ...dense, position_embedding_type: 'rope' })).ropes).toHaveLength(1)
  })
})

describe('layers', () => {
  it('have a window by layer_types, by pattern, or all of them', () => {
    expect(WINDOWS(parseModelSpec(configOf('mistral')))).toEqual([24, 24])
    expect(WINDOWS(parseModelSpec(configOf('mistral', { sliding_window: null })))).toEqual([undefined, undefined])
    expect(WINDOWS(parseModelSpec(configOf('ministral')))).toEqual([24, undefined, 24])
    expect(WINDOWS(parseModelSpec(configOf('gemma2')))).toEqual([24, undefined, 24, undefined])
    const gemma3 = [24, 24, 24, 24, 24, undefined]
    expect(WINDOWS(parseModelSpec(configOf('gemma3')))).toEqual(gemma3)
    expect(WINDOWS(parseModelSpec(configOf('gemma3', { sliding_window_pattern: undefined })))).toEqual(gemma3)
    expect(WINDOWS(parseModelSpec(configOf('gemma3-mlx-4bit')))).toEqual(gemma3)
  })

  it('have none that is as long as any context', () => {
    expect(WINDOWS(parseModelSpec(configOf('phi3')))).toEqual([undefined, undefined])
    expect(WINDOWS(parseModelSpec(configOf('mistral', { sliding_window: 512 })))).toEqual([undefined, undefined])
    expect(WINDOWS(parseModelSpec(configOf('mistral', { sliding_window: 511 })))).toEqual([511, 511])
  })

  it('of Qwen have one only if use_sliding_window is true, from max_window_layers on', () => {
    const on = { use_sliding_window: true, sliding_window: 16, max_window_layers: 1 }
    expect(WINDOWS(parseModelSpec(configOf('qwen3-mtp', on)))).toEqual([undefined, 16])
    expect(WINDOWS(parseModelSpec(configOf('qwen3-mtp', { ...on, use_sliding_window: undefined })))).toEqual([
      undefined,
      undefined,
    ])
    const listed = { ...on, layer_types: ['sliding_attention', 'full_attention'] }
    expect(WINDOWS(parseModelSpec(configOf('qwen3-mtp', listed)))).toEqual([16, undefined])
  })

  it('rotate unless a list or an interval says no', () => {
    const ropes = (change: Json) => parseModelSpec(configOf('smollm3', change)).layers.map(({ rope }) => rope)
    expect(ropes({})).toEqual([0, 0, 0, undefined])
    expect(ropes({ no_rope_layers: undefined, no_rope_layer_interval: undefined })).toEqual([0, 0, 0, undefined])
    expect(ropes({ no_rope_layers: [0, 1, 1, 1], no_rope_layer_interval: undefined })).toEqual([undefined, 0, 0, 0])
    expect(ropes({ no_rope_layers: undefined, no_rope_layer_interval: 2 })).toEqual([0, undefined, 0, undefined])
  })
})

describe('a model of text and images', () => {
  const { architectures: _, ...text } = configOf('gemma3', { tie_word_embeddings: undefined, eos_token_id: 1 })
  const wrapped = (change: Json = {}) => ({
    model_type: 'gemma3',
    architectures: ['Gemma3ForConditionalGeneration'],
    eos_token_id: [1, 106],
    text_config: text,
    vision_config: { hidden_size: 1152 },
    ...change,
  })

  it('is its text model', () => {
    const { architecture: __, eosTokenIds, ...spec } = parseModelSpec(wrapped())
    expect(parseModelSpec(configOf('gemma3'))).toMatchObject(spec)
    expect(eosTokenIds).toEqual([1, 106])
    expect(parseModelSpec(wrapped({ tie_word_embeddings: false })).tiedEmbeddings).toBe(false)
  })

  it('may leave out what its class has: Gemma 3 4B states seven fields', () => {
    const rope_scaling = { factor: 8, rope_type: 'linear' }
    const sizes = { hidden_size: 2560, intermediate_size: 10_240, num_hidden_layers: 34, sliding_window: 1024 }
    const spec = parseModelSpec(wrapped({ text_config: { model_type: 'gemma3_text', ...sizes, rope_scaling } }))
    expect(spec).toMatchObject({ numHeads: 8, numKvHeads: 4, headDim: 256, vocabSize: 262_208, tiedEmbeddings: true })
    expect(spec.ropes.map(({ theta }) => theta)).toEqual([1e6, 1e4])
    expect(spec.layers.slice(4, 7).map(({ window, rope }) => [window, rope])).toEqual([
      [1024, 1],
      [undefined, 0],
      [1024, 1],
    ])
  })

  it('of another family, or without text, is refused', async () => {
    expect(await refusal(wrapped({ text_config: undefined }))).toContain('config.json: text_config is missing')
    const lfm2 = await refusal(wrapped({ text_config: { model_type: 'lfm2' } }))
    expect(lfm2).toContain('text_config: model_type is "lfm2"; convolution layers')
  })
})

describe('refused by name, with the reason', () => {
  it.each([
    ['gemma3n', 'embeddings of each layer'],
    ['gemma4', 'embeddings of each layer'],
    ['qwen3_moe', 'mixture-of-experts'],
    ['deepseek_v3', 'multi-head latent attention'],
    ['lfm2', 'convolution layers'],
    ['falcon_h1', 'Mamba layers'],
    ['qwen3_next', 'Gated DeltaNet'],
    ['qwen3_5', 'Gated DeltaNet'],
    ['gpt2', 'supported: llama, mistral'],
  ])('%s', async (model_type, reason) => {
    const message = await refusal(configOf('llama', { model_type }))
    expect(message).toContain(`model_type is "${model_type}"; ${reason}`)
  })

  const granite4: Json = {
    model_type: 'granitemoehybrid',
    architectures: undefined,
    shared_intermediate_size: 256,
    num_local_experts: 0,
    position_embedding_type: 'nope',
    layer_types: ['attention', 'attention'],
  }
  const refused: readonly [string, string, Json, string][] = [
    ['experts', 'granite', { ...granite4, num_local_experts: 62 }, 'num_local_experts is 62; mixture-of-experts'],
    ['experts unstated', 'granite', { ...granite4, num_local_experts: undefined }, 'num_local_experts is missing'],
    ['Mamba layers', 'granite', { ...granite4, layer_types: ['mamba', 'attention'] }, 'Mamba layers are not supported'],
    ['unlisted layers', 'granite', { ...granite4, layer_types: undefined }, 'layer_types is missing'],
    ['latent attention', 'llama', { kv_lora_rank: 512 }, 'kv_lora_rank is 512; multi-head latent'],
    ['convolutions', 'llama', { layer_types: ['conv', 'full_attention'] }, 'convolution layers are not supported'],
    ['an unknown layer', 'llama', { layer_types: ['constructor', 'full_attention'] }, '"constructor" is not supported'],
    ['attention to later tokens', 'gemma3', { use_bidirectional_attention: true }, 'attention to later tokens'],
    ['clipped values', 'olmo2', { clip_qkv: 8 }, 'clip_qkv is 8'],
  ]
  it.each(refused)('%s of %s', async (_, fixture, change, message) => {
    expect(await refusal(configOf(fixture, change))).toContain(message)
  })
})

describe('contradictions', () => {
  const refused: readonly [string, string, Json, string][] = [
    ['a bias of queries', 'qwen2-mlx-mixed', { attention_bias: false }, 'attention_bias is false'],
    ['a bias of queries', 'mistral', { attention_bias: true }, 'attention_bias is true'],
    ['a bias of the MLP', 'olmo2', { mlp_bias: true }, 'mlp_bias is true'],
    ['a window', 'llama', { sliding_window: 24 }, 'sliding_window is 24; models of this family have no windows'],
    ['a window', 'llama', { use_sliding_window: true }, 'use_sliding_window is true'],
    [
      'window layers',
      'mistral',
      { sliding_window: null, layer_types: ['sliding_attention', 'full_attention'] },
      'layer_types',
    ],
    [
      'window layers',
      'qwen3-mtp',
      { layer_types: ['sliding_attention', 'full_attention'] },
      'no sliding_window is set',
    ],
    ['its size', 'qwen3-mtp', { use_sliding_window: true }, 'sliding_window is missing'],
    ['its size', 'gemma3', { sliding_window: null }, 'sliding_window is null'],
    ['the pattern', 'gemma3-mlx-4bit', { _sliding_window_pattern: 5 }, 'sliding_window_pattern is 5'],
    ['the pattern', 'gemma3', { _sliding_window_pattern: 5 }, '_sliding_window_pattern is 5'],
    ['the activation', 'gemma3', { hidden_act: 'silu' }, 'hidden_activation'],
    ['layers without positions', 'smollm3', { no_rope_layers: [1, 1, 0, 1] }, 'no_rope_layer_interval is 4'],
    ['layers without positions', 'smollm3', { no_rope_layers: [1, 1] }, 'no_rope_layers is [1,1]'],
    ['the size of heads', 'smollm3', { head_dim: undefined, num_attention_heads: 24 }, 'num_attention_heads is 5.33'],
  ]
  it.each(refused)('about %s of %s', async (_, fixture, change, message) => {
    expect(await refusal(configOf(fixture, change))).toContain(message)
  })
})
