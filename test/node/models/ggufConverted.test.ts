/** GGUF metadata as llama.cpp's converter writes them, of families without a fixture in GGUF too. */

import { describe, expect, it } from 'vitest'
import { ggufConfig } from '../../../src/models/ggufConfig.ts'
import type { GgufValue } from '../../../src/models/ggufFields.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import { comparable, converted, DEFAULTS, fixtureConfig, withoutIds } from '../../helpers/ggufConfigs.ts'

describe('ggufConfig of what the converter writes', () => {
  const f32 = Math.fround
  const NONE: Readonly<Record<string, GgufValue>> = {}
  const PHI3 = fixtureConfig('phi3')
  const factors = PHI3.rope_scaling as { short_factor: number[]; long_factor: number[] }
  it.each<[string, string, Readonly<Record<string, GgufValue>>, readonly string[], readonly string[]]>([
    ['mistral', 'llama', { 'attention.sliding_window': 24 }, [], []],
    ['qwen3-mtp', 'qwen3', NONE, [], []],
    ['smollm3', 'smollm3', { 'rope.dimension_count': 32 }, [], ['sliding_window', 'layer_types']],
    [
      'granite',
      'granite',
      { 'attention.scale': f32(0.04), embedding_scale: 12, residual_scale: f32(0.22), logit_scale: 3 },
      [],
      [],
    ],
    ['olmo2', 'olmo2', NONE, [], []],
    // Nothing in a file says that the scale is not the head's.
    [
      'gemma2',
      'gemma2',
      { 'attention.sliding_window': 24, attn_logit_softcapping: 8, final_logit_softcapping: 12 },
      [],
      ['query_pre_attn_scalar'],
    ],
    [
      'gemma3',
      'gemma3',
      { 'attention.sliding_window': 24, 'rope.scaling.type': 'linear', 'rope.scaling.factor': 8 },
      [],
      ['query_pre_attn_scalar'],
    ],
    ['llama-linear', 'llama', { 'rope.scaling.type': 'linear', 'rope.scaling.factor': 4 }, [], ['rope_scaling']],
    [
      'llama-yarn',
      'llama',
      { 'rope.scaling.type': 'yarn', 'rope.scaling.factor': 4, 'rope.scaling.original_context_length': 128 },
      [],
      [],
    ],
    [
      'phi3',
      'phi3',
      { 'attention.sliding_window': 262_144, 'rope.dimension_count': 24, 'rope.scaling.original_context_length': 64 },
      ['rope_factors_long.weight', 'rope_factors_short.weight'],
      ['rope_scaling', 'original_max_position_embeddings'],
    ],
  ])('%s: every field of its config.json', (name, architecture, own, tensorNames, apart) => {
    const original = fixtureConfig(name)
    const [metadata, tensors] = converted(architecture, original, own, tensorNames)
    const values = new Map([
      ['rope_factors_long.weight', Float32Array.from(factors.long_factor)],
      ['rope_factors_short.weight', Float32Array.from(factors.short_factor)],
    ])
    const made = ggufConfig(metadata, tensors, values)
    const config = comparable(made)
    for (const [field, value] of Object.entries(comparable(original))) {
      if (!apart.includes(field) && !field.startsWith('num_nextn')) {
        expect([field, config[field] ?? DEFAULTS[field] ?? null]).toEqual([field, value])
      }
    }
    // A scale that no file says is that of the head.
    const scalar = 'query_pre_attn_scalar' in original ? { query_pre_attn_scalar: original.head_dim } : {}
    expect(withoutIds(parseModelSpec(made))).toEqual(withoutIds(parseModelSpec({ ...original, ...scalar })))
  })

  const config = (
    name: string,
    own: Readonly<Record<string, GgufValue>>,
    tensorNames: readonly string[] = [],
    values: ReadonlyMap<string, Float32Array> = new Map(),
  ) => ggufConfig(...converted(name, fixtureConfig('llama-linear'), own, tensorNames), values)

  it('keeps longrope as config.json has it, with the attention factor of the file', () => {
    const long = Float32Array.of(1.5, 2)
    const values = new Map([
      ['rope_factors_long.weight', long],
      ['rope_factors_short.weight', Float32Array.of(1, 1)],
    ])
    const own = {
      'rope.dimension_count': 4,
      'rope.scaling.original_context_length': 64,
      'rope.scaling.attn_factor': f32(1.19),
    }
    expect(config('phi3', own, [...values.keys()], values).rope_scaling).toEqual({
      rope_type: 'longrope',
      short_factor: [1, 1],
      long_factor: [1.5, 2],
      original_max_position_embeddings: 64,
      attention_factor: 1.19,
    })
  })

  it('rotates as many dims as the file says, through the fraction', () => {
    for (let headDim = 2; headDim <= 256; headDim += 2) {
      for (let dims = 2; dims < headDim; dims += 2) {
        const own = { 'rope.dimension_count': dims, 'attention.key_length': headDim, 'attention.value_length': headDim }
        const factor = Number(config('phi3', own).partial_rotary_factor)
        expect(Math.floor(headDim * factor)).toBe(dims)
      }
    }
    expect(config('phi3', { 'rope.dimension_count': 24 }).partial_rotary_factor).toBe(0.75)
  })

  it("multiplies YaRN's own attention factor by llama.cpp's, and takes the converter's as it is", () => {
    const yarn = { 'rope.scaling.type': 'yarn', 'rope.scaling.factor': 4, 'rope.scaling.original_context_length': 128 }
    const scaling = (own: Record<string, GgufValue>) => config('qwen3', { ...yarn, ...own }).rope_scaling
    expect(scaling({ 'rope.scaling.attn_factor': 2 })).toMatchObject({ attention_factor: 2 * (1 + 0.1 * Math.log(4)) })
    expect(scaling({ 'rope.scaling.yarn_attn_factor': f32(1.1), 'rope.scaling.yarn_beta_fast': 16 })).toMatchObject({
      attention_factor: 1.1,
      beta_fast: 16,
    })
  })

  it('reads biases from the tensors, and tying from a missing head', () => {
    expect(config('llama', {}, ['blk.0.attn_q.bias', 'blk.0.ffn_up.bias'])).toMatchObject({
      attention_bias: true,
      mlp_bias: true,
      tie_word_embeddings: false,
    })
    const [metadata, tensors] = converted('gemma3', fixtureConfig('gemma3'), { 'attention.sliding_window': 24 })
    expect(ggufConfig(metadata, tensors, new Map()).tie_word_embeddings).toBe(true)
  })

  it('takes the sliding layers from the file, if it lists them, and knows the families that do not', () => {
    const [f, s] = ['full_attention', 'sliding_attention']
    const pattern = 'attention.sliding_window_pattern'
    const layers = { block_count: 4, 'attention.sliding_window': 8 }
    expect(config('gemma2', layers).layer_types).toEqual([s, f, s, f])
    expect(config('gemma2', { ...layers, [pattern]: 4 }).layer_types).toEqual([s, s, s, f])
    expect(config('gemma3', layers)).toMatchObject({ sliding_window_pattern: 6, sliding_window: 8 })
    expect(config('gemma3', { block_count: 4 })).toMatchObject({ sliding_window_pattern: 1, sliding_window: null })
    const listed = config('gemma3', { ...layers, [pattern]: Uint8Array.of(1, 0, 0, 1), 'rope.freq_base_swa': 20_000 })
    expect(listed).toMatchObject({ layer_types: [s, f, f, s], rope_local_base_freq: 20_000 })
    expect(listed).not.toHaveProperty('sliding_window_pattern')
  })

  it('takes a value for each layer where all are the same', () => {
    const own = { 'attention.head_count_kv': Uint32Array.of(2, 2), feed_forward_length: Int32Array.of(96, 96) }
    expect(config('llama', own)).toMatchObject({ num_key_value_heads: 2, intermediate_size: 96 })
  })

  it('scales by hidden size and heads in the biggest Gemma alone', () => {
    const names = Array.from({ length: 60 }, (_, i) => `tensor ${i}`)
    expect(
      config('gemma2', { block_count: 46, 'attention.key_length': 64, 'attention.value_length': 64 }, names),
    ).toMatchObject({
      query_pre_attn_scalar: 32,
      head_dim: 64,
    })
  })

  it('knows a granite without rotary embedding', () => {
    const own = { logit_scale: 3, 'rope.scaling.finetuned': false }
    expect(config('granite', own)).toMatchObject({
      position_embedding_type: 'nope',
      attention_multiplier: 1 / Math.sqrt(32),
      residual_multiplier: 1,
    })
  })

  it('ends at control tokens alone: a tag that is spelled like one is text', () => {
    const [metadata, tensors] = converted('llama', { ...fixtureConfig('llama-linear'), vocab_size: 6 })
    const ids = ggufConfig(
      new Map<string, GgufValue>([
        ...metadata,
        ['tokenizer.ggml.tokens', ['a', '</s>', '<|im_end|>', '<|end|>', '<turn>', '</s>', '<|eot_id|>']],
        ['tokenizer.ggml.token_type', Int32Array.of(1, 4, 3, 1, 3, 3, 3)],
        ['tokenizer.ggml.eot_token_id', 4],
        ['tokenizer.ggml.eos_token_id', 0],
      ]),
      tensors,
      new Map(),
    ).eos_token_id
    // The last of the vocabulary is past the embedding's rows.
    expect(ids).toEqual([0, 4, 2, 5])
  })
})
