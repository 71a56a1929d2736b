/** GGUF metadata that would change the arithmetic, or contradict themselves: refused by key. */

import { describe, expect, it } from 'vitest'
import { ggufConfig } from '../../../src/models/ggufConfig.ts'
import type { GgufValue } from '../../../src/models/ggufFields.ts'
import { configTensors } from '../../../src/models/ggufRope.ts'
import { converted, fixtureConfig } from '../../helpers/ggufConfigs.ts'
import { thrownBy } from '../../helpers/modelFiles.ts'

describe('ggufConfig refuses', () => {
  const config = (
    name: string,
    own: Readonly<Record<string, GgufValue>>,
    tensorNames: readonly string[] = [],
    values: ReadonlyMap<string, Float32Array> = new Map(),
  ) => ggufConfig(...converted(name, fixtureConfig('llama-linear'), own, tensorNames), values)
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
    const [metadata, tensors] = converted('llama', fixtureConfig('llama-linear'))
    const with_ = (key: string, value: GgufValue) => () =>
      ggufConfig(new Map([...metadata, [key, value]]), tensors, new Map())
    expect((await thrownBy(with_('general.type', 'adapter'))).message).toContain(
      'load the file of the language model itself',
    )
    const error = await thrownBy(with_('tokenizer.ggml.eos_token_id', 384))
    expect(error.message).toContain('tokenizer.ggml.eos_token_id is 384; it must be below 384')
  })

  it('names the tensors to read first, and refuses one that would be large', async () => {
    const [, tensors] = converted('llama', fixtureConfig('llama-linear'), {}, [DIVISORS])
    expect(configTensors(tensors)).toEqual([DIVISORS])
    for (const change of [{ shape: [2 ** 30] }, { shape: [4, 4] }, { type: 'q8_0' }]) {
      const changed = tensors.map((tensor) => (tensor.name === DIVISORS ? { ...tensor, ...change } : tensor))
      expect((await thrownBy(() => configTensors(changed))).message).toContain(
        'it must be f32, one dim of at most 4096',
      )
    }
  })
})
