/** GGUF metadata as config.json: what a file says and what its family adds are the config that it was made from. */

import { describe, expect, it } from 'vitest'
import { ggufConfig } from '../../src/models/ggufConfig.ts'
import type { GgufMetadata, GgufTensor, GgufValue } from '../../src/models/ggufFields.ts'
import { type GgufRole, ggufName, ggufRewrites, unpermutedRow } from '../../src/models/ggufNames.ts'
import { configTensors } from '../../src/models/ggufRope.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../src/models/readConfig.ts'
import { ropeFrequencies } from '../../src/models/rope.ts'
import { fixtureFolder } from '../helpers/boundWeights.ts'
import { GGUF_FIXTURES } from '../helpers/folderFetch.ts'
import { ggufFixture, parsedGguf } from '../helpers/ggufWriter.ts'
import { readJson, thrownBy } from '../helpers/modelFiles.ts'

type Config = Readonly<Record<string, unknown>>

/** Fields of config.json that GGUF does not have: ids of another vocabulary, the dtype, a window that is off. */
const NOT_IN_FILE = ['eos_token_id', 'bos_token_id', 'torch_dtype', 'use_cache']
/** Defaults of config.json, per model_type where they differ. */
const DEFAULTS: Config = {
  rope_scaling: null,
  tie_word_embeddings: false,
  mlp_bias: false,
  position_embedding_type: 'rope',
}
const TIED = ['gemma2', 'gemma3_text']

/** Config with its defaults filled in, without what GGUF cannot say. */
function comparable(config: Config): Record<string, unknown> {
  const tied = TIED.includes(String(config.model_type)) ? { tie_word_embeddings: true } : {}
  const headDim = Number(config.hidden_size) / Number(config.num_attention_heads)
  const filled = { ...DEFAULTS, ...tied, head_dim: headDim, ...config }
  const entries = Object.entries(filled).filter(([name]) => !NOT_IN_FILE.includes(name))
  return Object.fromEntries(entries)
}

/** Without what GGUF cannot say. */
function withoutIds(spec: ModelSpec): ModelSpec {
  return { ...spec, eosTokenIds: [], bosTokenId: undefined, mtp: undefined }
}

/** The f32 values of the tensors that the config needs, read from the file. */
function valuesOf(file: Uint8Array): Map<string, Float32Array> {
  const { tensors, dataStart } = parsedGguf(file)
  const names = configTensors(tensors)
  return new Map(
    tensors
      .filter(({ name }) => names.includes(name))
      .map(({ name, offset, bytes }) => {
        const start = dataStart + offset
        return [name, new Float32Array(file.slice(start, start + bytes).buffer)] as const
      }),
  )
}

function configOf(file: Uint8Array): Config {
  const { metadata, tensors } = parsedGguf(file)
  return ggufConfig(metadata, tensors, valuesOf(file))
}

describe('ggufConfig of the fixtures', () => {
  it.each(GGUF_FIXTURES)('%s: every field of the config that it was made from', (name) => {
    const { file, golden } = ggufFixture(name)
    const config = comparable(configOf(file))
    for (const [field, value] of Object.entries(comparable(golden.config))) {
      // A tensor of divisors stands for it; a window that is off is not written.
      if (name === 'llama-gguf-f16' && field === 'rope_scaling') continue
      if (name === 'qwen2-gguf-q5' && field === 'sliding_window') continue
      expect([field, config[field] ?? DEFAULTS[field] ?? null]).toEqual([field, value])
    }
  })

  it.each(GGUF_FIXTURES)('%s: the same spec', (name) => {
    const { file, golden } = ggufFixture(name)
    const spec = parseModelSpec(configOf(file))
    expect(spec.eosTokenIds.length).toBeGreaterThan(0)
    expect(spec.bosTokenId).toBeDefined()
    const { ropes, ...rest } = withoutIds(spec)
    const { ropes: wanted, ...expected } = withoutIds(parseModelSpec(golden.config))
    expect(rest).toEqual(expected)
    if (name !== 'llama-gguf-f16') expect(ropes).toEqual(wanted)
    else expect(ropes[0]).toMatchObject({ dims: 32, theta: 10_000, scaling: { kind: 'divisors' } })
  })

  it('give the frequencies of llama3 scaling as divisors', () => {
    const { file, golden } = ggufFixture('llama-gguf-f16')
    const { rope_type: type, divisors } = configOf(file).rope_scaling as { rope_type: string; divisors: number[] }
    expect(type).toBe('divisors')
    const scaling = golden.config.rope_scaling as Record<string, number>
    const wanted = ropeFrequencies(
      {
        dims: 32,
        theta: 10_000,
        scaling: {
          kind: 'llama3',
          factor: Number(scaling.factor),
          lowFrequencyFactor: Number(scaling.low_freq_factor),
          highFrequencyFactor: Number(scaling.high_freq_factor),
          originalPositions: Number(scaling.original_max_position_embeddings),
        },
      },
      512,
    ).frequencies
    const { frequencies } = ropeFrequencies({ dims: 32, theta: 10_000, scaling: { kind: 'divisors', divisors } }, 512)
    for (const [i, frequency] of frequencies.entries()) expect(frequency / (wanted[i] ?? 0)).toBeCloseTo(1, 6)
  })

  it('find the ends in metadata and vocabulary', () => {
    const { file } = ggufFixture('llama-gguf-f16')
    const { metadata } = parsedGguf(file)
    const ends = configOf(file).eos_token_id as number[]
    const tokens = metadata.get('tokenizer.ggml.tokens') as string[]
    expect(ends[0]).toBe(382)
    expect(ends.map((id) => tokens[id])).toContain('<|im_end|>')
    expect(configOf(file).bos_token_id).toBe(380)
    const gemma = parsedGguf(ggufFixture('gemma3-gguf-q8_0').file).metadata.get('tokenizer.ggml.tokens') as string[]
    expect(configOf(ggufFixture('gemma3-gguf-q8_0').file).eos_token_id).toEqual([1, gemma.indexOf('<end_of_turn>')])
  })
})

/** What llama.cpp's converter writes for a config.json: keys, and the tensors that say something. */
function converted(
  name: string,
  config: Config,
  own: Readonly<Record<string, GgufValue>> = {},
  tensorNames: readonly string[] = [],
): [GgufMetadata, GgufTensor[]] {
  const keys: Record<string, unknown> = {
    block_count: config.num_hidden_layers,
    context_length: config.max_position_embeddings,
    embedding_length: config.hidden_size,
    feed_forward_length: config.intermediate_size,
    'attention.head_count': config.num_attention_heads,
    'attention.head_count_kv': config.num_key_value_heads,
    'attention.key_length': config.head_dim,
    'attention.value_length': config.head_dim,
    'attention.layer_norm_rms_epsilon': Math.fround(Number(config.rms_norm_eps)),
    'rope.freq_base': Math.fround(Number(config.rope_theta)),
    ...own,
  }
  const entries = Object.entries(keys).filter(([, value]) => value !== undefined)
  const metadata = new Map(entries.map(([key, value]) => [`${name}.${key}`, value as GgufValue]))
  metadata.set('general.architecture', name)
  const tied = config.tie_word_embeddings ?? TIED.includes(String(config.model_type))
  const all = [
    'blk.0.ffn_down.weight',
    'blk.1.ffn_down.weight',
    'a',
    'b',
    'c',
    ...(tied ? [] : ['output.weight']),
    ...tensorNames,
  ]
  const tensors = all.map((tensor) => ({ name: tensor, shape: [12], type: 'f32', offset: 0, bytes: 48 }))
  tensors.push({ name: 'token_embd.weight', shape: [Number(config.vocab_size), 8], type: 'f32', offset: 0, bytes: 0 })
  return [metadata, tensors]
}

const fixture = (name: string): Config => readJson(fixtureFolder(name), 'config.json')

describe('ggufConfig of what the converter writes', () => {
  const f32 = Math.fround
  const NONE: Readonly<Record<string, GgufValue>> = {}
  const PHI3 = fixture('phi3')
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
    const original = fixture(name)
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
  ) => ggufConfig(...converted(name, fixture('llama-linear'), own, tensorNames), values)

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
    const [metadata, tensors] = converted('gemma3', fixture('gemma3'), { 'attention.sliding_window': 24 })
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
    const [metadata, tensors] = converted('llama', { ...fixture('llama-linear'), vocab_size: 6 })
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

  const DIVISORS = 'rope_freqs.weight'
  it.each<[string, string, Readonly<Record<string, GgufValue>>, readonly string[], string]>([
    [
      'an architecture with its reason',
      'lfm2',
      {},
      [],
      'general.architecture is "lfm2"; its convolution layers are not supported; supported: llama, qwen2',
    ],
    [
      'an architecture that nobody built',
      'constructor',
      {},
      [],
      'general.architecture is "constructor"; supported: llama',
    ],
    [
      'experts',
      'llama',
      { expert_count: 8 },
      [],
      'llama.expert_count is 8; not supported in a llama model; use the model',
    ],
    [
      'a scale of scores',
      'qwen3',
      { 'attention.scale': 0.5 },
      [],
      'qwen3.attention.scale is 0.5; not supported in a qwen3',
    ],
    ['a window of OLMo 3', 'olmo2', { 'attention.sliding_window': 4096 }, [], 'olmo2.attention.sliding_window is 4096'],
    [
      'heads that differ',
      'llama',
      { 'attention.head_count_kv': Uint32Array.of(2, 0) },
      [],
      'llama.attention.head_count_kv is [2, 0]; layers that differ',
    ],
    [
      'values of another size',
      'llama',
      { 'attention.value_length': 64 },
      [],
      'llama.attention.value_length is 64; only that of keys',
    ],
    [
      'more layers than tensors',
      'llama',
      { block_count: 2 ** 32 - 1 },
      [],
      'llama.block_count is 4294967295; the file has no more than 7 tensors',
    ],
    [
      'more rotated dims than a head has',
      'llama',
      { 'rope.dimension_count': 64 },
      [],
      'llama.rope.dimension_count is 64; a head has 32 dims',
    ],
    [
      'heads that do not divide',
      'llama',
      { 'attention.head_count': 3, 'attention.key_length': NaN },
      [],
      'llama.attention.key_length is null; must be an integer',
    ],
    [
      'an epsilon of 0',
      'llama',
      { 'attention.layer_norm_rms_epsilon': 0 },
      [],
      'llama.attention.layer_norm_rms_epsilon is 0; must be a number above 0',
    ],
    [
      'a local θ in Gemma 2',
      'gemma2',
      { 'rope.freq_base_swa': 5 },
      [],
      'gemma2.rope.freq_base_swa is 5; only rope.freq_base',
    ],
    [
      'a pattern of another length',
      'gemma2',
      { 'attention.sliding_window_pattern': Uint8Array.of(1) },
      [],
      'it must have one value for each of the 2 layers',
    ],
    [
      'a scaling of another kind',
      'llama',
      { 'rope.scaling.type': 'dynamic' },
      [],
      'llama.rope.scaling.type is "dynamic"; supported: none, linear, yarn',
    ],
    [
      'longrope without factors',
      'phi3',
      { 'rope.scaling.type': 'longrope' },
      [],
      'longrope with its tensors of factors',
    ],
    [
      'two scalings',
      'llama',
      { 'rope.scaling.factor': 2 },
      [DIVISORS],
      'no scaling is supported beside rope_freqs.weight',
    ],
    [
      'divisors that were not read',
      'granite',
      { logit_scale: 1 },
      [DIVISORS],
      'tensor rope_freqs.weight is missing, or was not read',
    ],
    [
      'a granite without its divisor of logits',
      'granite',
      {},
      [],
      'granite.logit_scale is missing; must be a number above 0',
    ],
  ])('refuses %s', async (_, name, own, tensorNames, message) => {
    const error = await thrownBy(() => config(name, own, tensorNames))
    expect(error).toMatchObject({ code: 'MODEL_FORMAT' })
    expect(error.message).toContain(message)
  })

  it.each<[string, number[], string]>([
    ['too few', [1, 2], 'has 2 values; half of the rotated dims are 16'],
    ['one of 0', [...new Array(15).fill(1), 0], 'holds 0; its values must be above 0'],
    ['one that is no number', [...new Array(15).fill(1), Number.NaN], 'holds NaN'],
  ])('refuses divisors: %s', async (_, divisors, message) => {
    const values = new Map([[DIVISORS, Float32Array.from(divisors)]])
    expect((await thrownBy(() => config('llama', {}, [DIVISORS], values))).message).toContain(message)
  })

  it('refuses the files that come beside models, and ids past the vocabulary', async () => {
    const [metadata, tensors] = converted('llama', fixture('llama-linear'))
    const with_ = (key: string, value: GgufValue) => () =>
      ggufConfig(new Map([...metadata, [key, value]]), tensors, new Map())
    expect((await thrownBy(with_('general.type', 'adapter'))).message).toContain(
      'load the file of the language model itself',
    )
    const error = await thrownBy(with_('tokenizer.ggml.eos_token_id', 384))
    expect(error.message).toContain('tokenizer.ggml.eos_token_id is 384; it must be below 384')
  })

  it('names the tensors to read first, and refuses one that would be large', async () => {
    const [, tensors] = converted('llama', fixture('llama-linear'), {}, [DIVISORS])
    expect(configTensors(tensors)).toEqual([DIVISORS])
    for (const change of [{ shape: [2 ** 30] }, { shape: [4, 4] }, { type: 'q8_0' }]) {
      const changed = tensors.map((tensor) => (tensor.name === DIVISORS ? { ...tensor, ...change } : tensor))
      expect((await thrownBy(() => configTensors(changed))).message).toContain(
        'it must be f32, one dim of at most 4096',
      )
    }
  })
})

describe('ggufName', () => {
  const ROLES: Readonly<Record<string, readonly GgufRole[]>> = {
    'llama-gguf-f16': ['lmHead', 'inputNorm', 'preMlpNorm', 'q', 'k', 'v', 'o', 'gate', 'up', 'down'],
    'qwen2-gguf-q5': ['qBias', 'kBias', 'vBias', 'inputNorm', 'preMlpNorm', 'q', 'k', 'v', 'o', 'gate', 'up', 'down'],
    'qwen3-gguf-q5_k': ['qNorm', 'kNorm', 'inputNorm', 'preMlpNorm', 'q', 'k', 'v', 'o', 'gate', 'up', 'down'],
    'gemma3-gguf-q8_0': [
      ...(['qNorm', 'kNorm', 'inputNorm', 'postAttentionNorm', 'preMlpNorm', 'postMlpNorm'] as const),
      ...(['q', 'k', 'v', 'o', 'gate', 'up', 'down'] as const),
    ],
  }
  it.each(Object.entries(ROLES))('%s: names every tensor of the file', (name, roles) => {
    const { tensors } = parsedGguf(ggufFixture(name).file)
    const layers = new Set(tensors.flatMap((tensor) => /^blk\.(\d+)\./.exec(tensor.name)?.[1] ?? []))
    const named = [...layers].flatMap((layer) => roles.map((role) => ggufName(role, Number(layer))))
    const found = tensors.map((tensor) => tensor.name).filter((tensor) => tensor !== 'rope_freqs.weight')
    expect(new Set([...named, ggufName('embed'), ggufName('finalNorm')])).toEqual(new Set(found))
  })
})

describe('rewrites', () => {
  it('are undone row by row: the inverse of what the converter does to a matrix', () => {
    for (const [heads, headDim] of [
      [1, 2],
      [3, 8],
      [4, 6],
      [2, 64],
    ] as const) {
      // reshape(heads, 2, headDim / 2), swap the last two axes, reshape: the row that comes to each place
      const half = headDim / 2
      const permuted: number[] = []
      for (let head = 0; head < heads; head++)
        for (let pair = 0; pair < half; pair++)
          for (let side = 0; side < 2; side++) permuted.push((head * 2 + side) * half + pair)
      expect(permuted.map((_, row) => unpermutedRow(row, headDim))).toEqual(permuted)
    }
  })

  it('are those of the families', () => {
    const [permuted, folded] = [
      { permutedRows: true, foldedNorms: false },
      { permutedRows: false, foldedNorms: true },
    ]
    for (const name of ['llama', 'smollm3', 'granite']) expect(ggufRewrites(name)).toEqual(permuted)
    for (const name of ['gemma2', 'gemma3']) expect(ggufRewrites(name)).toEqual(folded)
    for (const name of ['qwen2', 'qwen3', 'phi3', 'olmo2'])
      expect(Object.values(ggufRewrites(name))).toEqual([false, false])
  })
})
