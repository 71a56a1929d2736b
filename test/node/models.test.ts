/** ModelSpec and the weight plan: what a config means, and that nothing that changes the arithmetic passes unseen. */

import { describe, expect, it } from 'vitest'
import { bindTensors } from '../../src/models/bindTensors.ts'
import { eosTokens, parseGenerationDefaults } from '../../src/models/generationDefaults.ts'
import { parseModelSpec } from '../../src/models/readConfig.ts'
import { type TensorHeader, weightPlan } from '../../src/models/weightNames.ts'
import { FAIRY_TALES, QWEN3_MTP, readBytes, readJson, readSafetensors, thrownBy } from '../helpers/modelFiles.ts'

const CONFIG = readJson(QWEN3_MTP, 'config.json')

function headerOf(folder: URL): Map<string, TensorHeader> {
  return new Map(Object.entries(readSafetensors(readBytes(folder, 'model.safetensors')).header))
}

describe('parseModelSpec', () => {
  it('reads the fixture', () => {
    expect(parseModelSpec(CONFIG)).toEqual({
      family: 'qwen3',
      architecture: 'Qwen3ForCausalLM',
      hiddenSize: 64,
      intermediateSize: 128,
      numLayers: 2,
      numHeads: 2,
      numKvHeads: 1,
      headDim: 32,
      vocabSize: 512,
      maxPositions: 1024,
      rmsNormEps: 1e-6,
      norms: 'pre',
      qkNorm: 'head',
      qkvBias: false,
      outputBias: false,
      mlpBias: false,
      activation: 'silu',
      attentionScale: 32 ** -0.5,
      attentionSoftcap: undefined,
      queryScaling: undefined,
      embeddingScale: 1,
      residualScale: 1,
      logitScale: 1,
      logitSoftcap: undefined,
      ropes: [{ dims: 32, theta: 10000, scaling: undefined }],
      tiedEmbeddings: false,
      eosTokenIds: [2],
      bosTokenId: 1,
      layers: new Array(2).fill({ cache: 'paged', window: undefined, rope: 0 }),
      mtp: { blocks: 1, names: 'qwen3-next', concatOrder: 'embedding-first', maskFirstEmbedding: false },
    })
  })

  it('reads the embedded model, whose null bos_token_id is none', () => {
    const generation = readJson(FAIRY_TALES, 'generation_config.json')
    const spec = parseModelSpec(readJson(FAIRY_TALES, 'config.json'), generation)
    expect(spec).toMatchObject({ tiedEmbeddings: true, bosTokenId: undefined, eosTokenIds: [4093], mtp: { blocks: 1 } })
  })

  it('takes end-of-text ids from both files, those of generation_config.json first', () => {
    expect(parseModelSpec(CONFIG, { eos_token_id: [5, 6] }).eosTokenIds).toEqual([5, 6, 2])
    expect(parseModelSpec({ ...CONFIG, eos_token_id: [7, 5] }, { eos_token_id: 5 }).eosTokenIds).toEqual([5, 7])
    expect(parseModelSpec(CONFIG, { temperature: 1 }).eosTokenIds).toEqual([2])
    expect(parseModelSpec({ ...CONFIG, eos_token_id: null }).eosTokenIds).toEqual([])
  })

  it('has no drafter where the config names none', () => {
    expect(parseModelSpec({ ...CONFIG, num_nextn_predict_layers: 0 }).mtp).toBeUndefined()
    expect(parseModelSpec({ ...CONFIG, num_nextn_predict_layers: undefined }).mtp).toBeUndefined()
  })

  const accepted: [string, Record<string, unknown>, number][] = [
    ['rope_scaling null', { rope_scaling: null }, 10000],
    ['rope_scaling default', { rope_scaling: { rope_type: 'default' } }, 10000],
    ['rope_scaling default, old key', { rope_scaling: { type: 'default' } }, 10000],
    ['rope_parameters', { rope_theta: undefined, rope_parameters: { rope_type: 'default', rope_theta: 5e5 } }, 5e5],
    ['rope_parameters without type', { rope_theta: undefined, rope_parameters: { rope_theta: 5e5 } }, 5e5],
    ['both, agreeing', { rope_parameters: { rope_type: 'default', rope_theta: 10000 } }, 10000],
    ['layer_types full', { layer_types: ['full_attention', 'full_attention'] }, 10000],
    ['rope_parameters and a null rope_theta', { rope_theta: null, rope_parameters: { rope_theta: 5e5 } }, 5e5],
    ['no architectures', { architectures: undefined }, 10000],
    ['attention_bias true', { attention_bias: true }, 10000],
    ['sliding window off', { use_sliding_window: false, sliding_window: 4096, max_window_layers: 2 }, 10000],
  ]
  it.each(accepted)('accepts %s', (_, change, theta) => {
    expect(parseModelSpec({ ...CONFIG, ...change }).ropes[0]?.theta).toBe(theta)
  })

  const refused: [string, unknown][] = [
    ['hidden_act', 'gelu'],
    ['mlp_bias', true],
    ['use_mrope', true],
    ['partial_rotary_factor', 0.375],
    ['partial_rotary_factor', 1.25],
    ['rope_scaling', { factor: 2 }],
    ['rope_parameters', { rope_theta: 10000, factor: 8 }],
    ['rope_theta', undefined],
    ['rope_theta', -1],
    ['rope_theta', '10000'],
    ['model_type', 'gpt2'],
    ['model_type', 'constructor'],
    ['model_type', undefined],
    ['architectures', ['Qwen3ForSequenceClassification']],
    ['layer_types', ['full_attention', 'sliding_attention']],
    ['layer_types', ['full_attention']],
    ['num_key_value_heads', 3],
    ['num_attention_heads', 0],
    ['num_hidden_layers', 2.5],
    ['hidden_size', 68],
    ['intermediate_size', 132],
    ['head_dim', 36],
    ['head_dim', 2048],
    ['num_hidden_layers', 1001],
    ['vocab_size', '512'],
    ['rms_norm_eps', 0],
    ['max_position_embeddings', null],
    ['tie_word_embeddings', 1],
    ['eos_token_id', 512],
    ['eos_token_id', 'x'],
    ['bos_token_id', -1],
    ['num_nextn_predict_layers', 2],
    ['num_nextn_predict_layers', -1],
  ]
  it.each(refused)('refuses %s = %j by name and value', async (field, value) => {
    const { code, message } = await thrownBy(() => parseModelSpec({ ...CONFIG, [field]: value }))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`config.json: ${field} is ${value === undefined ? 'missing' : JSON.stringify(value)}`)
  })

  it('refuses a rope_theta that rope_parameters contradicts', async () => {
    const change = { rope_theta: 1e6, rope_parameters: { rope_type: 'default', rope_theta: 10000 } }
    const { code, message } = await thrownBy(() => parseModelSpec({ ...CONFIG, ...change }))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toBe('config.json: rope_theta is 1000000; rope_parameters says 10000')
  })

  it.each([[null], [[]], ['{}'], [7]])('refuses %j, which is no config', async (config) => {
    const { code, message } = await thrownBy(() => parseModelSpec(config))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain('config.json: expected a JSON object')
  })
})

describe('parseGenerationDefaults', () => {
  it('reads the embedded model', () => {
    expect(parseGenerationDefaults(readJson(FAIRY_TALES, 'generation_config.json'))).toEqual({
      sampling: { temperature: 0.8, top_k: 50, top_p: 0.95 },
      eosTokenIds: [4093],
    })
  })

  it('says nothing where there is no file', () => {
    expect(parseGenerationDefaults(undefined)).toEqual({ sampling: {}, eosTokenIds: [] })
  })

  it('reads what vLLM reads of it too', () => {
    const defaults = parseGenerationDefaults({ min_p: 0.05, repetition_penalty: 1.1 })
    expect(defaults).toMatchObject({ sampling: { min_p: 0.05, repetition_penalty: 1.1 } })
  })

  it('is greedy with do_sample false', () => {
    expect(parseGenerationDefaults({ do_sample: false, temperature: 0.7 }).sampling.temperature).toBe(0)
    expect(parseGenerationDefaults({ do_sample: true, temperature: 0.7 }).sampling.temperature).toBe(0.7)
  })

  it.each([
    ['temperature', -1],
    ['min_p', 1.5],
    ['min_p', -0.1],
    ['repetition_penalty', 0],
    ['repetition_penalty', 101],
    ['top_p', 1.5],
    ['top_p', 0],
    ['top_k', 2.5],
    ['do_sample', 'yes'],
    ['eos_token_id', [1, null]],
  ])('refuses %s = %j', async (field, value) => {
    const { code, message } = await thrownBy(() => parseGenerationDefaults({ [field]: value }))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`generation_config.json: ${field} is ${JSON.stringify(value)}`)
  })
})

describe('eosTokens', () => {
  it('is a string or the content of an object, and may be missing', () => {
    expect(eosTokens({ eos_token: '<|im_end|>' })).toEqual(['<|im_end|>'])
    expect(eosTokens({ eos_token: { content: '</s>', lstrip: false } })).toEqual(['</s>'])
    expect([eosTokens(undefined), eosTokens({}), eosTokens({ eos_token: null })]).toEqual([[], [], []])
  })

  it.each([[7], [['</s>']], [{ text: '</s>' }], [{ content: 3 }]])('refuses %j', async (token) => {
    const { code, message } = await thrownBy(() => eosTokens({ eos_token: token }))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain('tokenizer_config.json: eos_token')
  })
})

describe('bindTensors', () => {
  const spec = parseModelSpec(CONFIG)
  const change = (name: string, entry: TensorHeader | undefined): Map<string, TensorHeader> => {
    const header = headerOf(QWEN3_MTP)
    if (entry) header.set(name, entry)
    else header.delete(name)
    return header
  }

  it.each([['fairy-tales', FAIRY_TALES] as const, ['qwen3-mtp', QWEN3_MTP] as const])('accepts %s', (_, folder) => {
    const header = headerOf(folder)
    const checked = bindTensors(parseModelSpec(readJson(folder, 'config.json')), { kind: 'none' }, header)
    expect(new Set(checked.map(({ name }) => name))).toEqual(new Set(header.keys()))
    for (const { encoding, format, shape } of checked) {
      expect(encoding).toEqual({ kind: 'plain', dtype: 'bf16' })
      expect(format).toEqual({ codes: shape.length === 1 ? 'f32' : 'bf16' })
    }
  })

  it('names every tensor once, under a role that is its own within part and layer', () => {
    const plan = weightPlan(spec)
    expect(new Set(plan.map(({ name }) => name)).size).toBe(plan.length)
    expect(new Set(plan.map(({ part, layer, role }) => `${part} ${layer} ${role}`)).size).toBe(plan.length)
  })

  it.each(weightPlan(spec).map(({ name }) => [name]))('misses %s', async (name) => {
    const { code, message } = await thrownBy(() => bindTensors(spec, { kind: 'none' }, change(name, undefined)))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`tensor ${name} is missing`)
  })

  it('says that the config promised the drafter', async () => {
    const { message } = await thrownBy(() => bindTensors(spec, { kind: 'none' }, change('mtp.fc.weight', undefined)))
    expect(message).toContain('num_nextn_predict_layers is 1')
  })

  it.each(weightPlan(spec).map(({ name, shape }) => [name, shape] as const))(
    'sees another shape of %s',
    async (name, shape) => {
      const other = [...shape.slice(0, -1), (shape.at(-1) ?? 0) + 1]
      const { code, message } = await thrownBy(() =>
        bindTensors(spec, { kind: 'none' }, change(name, { dtype: 'BF16', shape: other })),
      )
      expect(code).toBe('MODEL_FORMAT')
      expect(message).toContain(
        `tensor ${name} has shape [${other.join(', ')}], config.json asks for [${shape.join(', ')}]`,
      )
    },
  )

  it.each(['I8', 'F8_E4M3', 'F64', 'bf16'])('refuses dtype %s', async (dtype) => {
    const name = 'model.layers.1.mlp.up_proj.weight'
    const { code, message } = await thrownBy(() =>
      bindTensors(spec, { kind: 'none' }, change(name, { dtype, shape: [128, 64] })),
    )
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`tensor ${name} has dtype ${dtype}; supported: BF16, F16, F32`)
  })

  it('gives each tensor its own dtype', () => {
    for (const module of ['down_proj', 'up_proj']) {
      const name = `model.layers.0.mlp.${module}.weight`
      const shape = module === 'down_proj' ? [64, 128] : [128, 64]
      const mixed = bindTensors(spec, { kind: 'none' }, change(name, { dtype: 'F32', shape }))
      expect(mixed.find((tensor) => tensor.name === name)?.format).toEqual({ codes: 'f32' })
    }
  })

  it.each([
    'model.layers.0.self_attn.q_proj.bias',
    'model.layers.0.mlp.down_proj.weight_scale',
    'mtp.layers.0.self_attn.k_proj.lora_A.weight',
    'lm_head.bias',
  ])('refuses %s, which it would leave out', async (name) => {
    const { code, message } = await thrownBy(() =>
      bindTensors(spec, { kind: 'none' }, change(name, { dtype: 'BF16', shape: [64] })),
    )
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`tensor ${name} is not part of a qwen3 model`)
  })

  it('refuses a layer past the last', async () => {
    const name = 'model.layers.2.input_layernorm.weight'
    const { code, message } = await thrownBy(() =>
      bindTensors(spec, { kind: 'none' }, change(name, { dtype: 'BF16', shape: [64] })),
    )
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`tensor ${name} is past the last layer; config.json says num_hidden_layers is 2`)
  })

  it('leaves alone what stands apart: a copy of a tied head, a drafter nobody asked for, old buffers', () => {
    const plain = parseModelSpec({ ...CONFIG, tie_word_embeddings: true, num_nextn_predict_layers: 0 })
    const header = change('model.layers.0.self_attn.rotary_emb.inv_freq', { dtype: 'F32', shape: [16] })
    const names = bindTensors(plain, { kind: 'none' }, header).map(({ name }) => name)
    expect(names).not.toContain('lm_head.weight')
    expect(names.some((name) => name.startsWith('mtp.'))).toBe(false)
  })
})
