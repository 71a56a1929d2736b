/** Rotary position embedding in both generations of config.json: the same table from either, and one reason for each refusal. */

import { describe, expect, it } from 'vitest'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import { ropeFrequencies } from '../../../src/models/rope.ts'
import { fixtureFolder } from '../../helpers/boundWeights.ts'
import { readJson, thrownBy } from '../../helpers/modelFiles.ts'

type Json = Record<string, unknown>

/** Of llama: 4 heads of 32, 512 positions, θ 5e5 and no scaling unless `change` says so. */
function specOf(change: Json): ModelSpec {
  const config = readJson(fixtureFolder('llama'), 'config.json')
  return parseModelSpec({ ...config, rope_scaling: undefined, ...change })
}

const YARN = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 128 }
const LLAMA3 = {
  rope_type: 'llama3',
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
}
const LISTS = { short_factor: new Array(16).fill(1.5), long_factor: new Array(16).fill(4) }
const LONGROPE = { rope_type: 'longrope', ...LISTS, original_max_position_embeddings: 64 }
const DIVISORS = { rope_type: 'divisors', divisors: Array.from({ length: 16 }, (_, i) => 1 + i) }

describe('the table', () => {
  it.each([
    ['linear', { rope_type: 'linear', factor: 4 }],
    ['yarn', YARN],
    ['llama3', LLAMA3],
    ['longrope', LONGROPE],
    ['divisors', DIVISORS],
  ])('of %s is the same from rope_scaling, from rope_parameters and from both', (kind, scaling) => {
    const old = specOf({ rope_scaling: scaling, rope_theta: 2e4 })
    expect(old.ropes).toMatchObject([{ dims: 32, theta: 2e4, scaling: { kind } }])
    const parameters = { ...scaling, rope_theta: 2e4 }
    expect(specOf({ rope_theta: undefined, rope_parameters: parameters })).toEqual(old)
    expect(specOf({ rope_theta: 2e4, rope_scaling: scaling, rope_parameters: parameters })).toEqual(old)
    const { rope_type: type, ...rest } = scaling
    expect(specOf({ rope_scaling: { type, ...rest }, rope_theta: 2e4 })).toEqual(old)
  })

  it('may rotate a part of a head, as either place says', () => {
    expect(specOf({ partial_rotary_factor: 0.75 }).ropes).toMatchObject([{ dims: 24 }])
    const parameters = { rope_theta: 2e4, partial_rotary_factor: 0.5 }
    expect(specOf({ rope_theta: undefined, rope_parameters: parameters }).ropes).toMatchObject([{ dims: 16 }])
  })

  it("of YaRN has its defaults, and its cosines' factor by one number, by two, or as stated", () => {
    const factorOf = (change: Json) => {
      const scaling = specOf({ rope_scaling: { ...YARN, ...change } }).ropes[0]?.scaling
      return scaling?.kind === 'yarn' ? scaling.attentionFactor : undefined
    }
    expect(specOf({ rope_scaling: YARN }).ropes[0]?.scaling).toEqual({
      kind: 'yarn',
      factor: 4,
      betaFast: 32,
      betaSlow: 1,
      truncate: true,
      originalPositions: 128,
      attentionFactor: 0.1 * Math.log(4) + 1,
    })
    expect(factorOf({ mscale: 1, mscale_all_dim: 1 })).toBe(1)
    expect(factorOf({ mscale: 2, mscale_all_dim: 1 })).toBe((0.2 * Math.log(4) + 1) / (0.1 * Math.log(4) + 1))
    expect(factorOf({ mscale: 2 })).toBe(0.1 * Math.log(4) + 1)
    expect(factorOf({ attention_factor: 1.25 })).toBe(1.25)
    expect(factorOf({ factor: 0.5 })).toBe(1)
  })

  it('of longrope takes the original positions from the top level, too', () => {
    const { original_max_position_embeddings: old, ...scaling } = LONGROPE
    const spec = specOf({ rope_scaling: { ...scaling, rope_type: 'su' }, original_max_position_embeddings: old })
    expect(spec.ropes).toEqual(specOf({ rope_scaling: LONGROPE }).ropes)
    expect(spec.ropes[0]?.scaling).toMatchObject({
      originalPositions: 64,
      attentionFactor: Math.sqrt(1 + Math.log(8) / Math.log(64)),
    })
  })

  it('of sliding layers is one of their own in Gemma 3, whichever way it is said', () => {
    const gemma3 = parseModelSpec(readJson(fixtureFolder('gemma3'), 'config.json'))
    expect(gemma3.ropes).toEqual([
      { dims: 32, theta: 1e6, scaling: { kind: 'linear', factor: 8 } },
      { dims: 32, theta: 1e4, scaling: undefined },
    ])
    expect(gemma3.layers.map(({ rope }) => rope)).toEqual([1, 1, 1, 1, 1, 0])
    const newer = parseModelSpec(readJson(fixtureFolder('gemma3-mlx-4bit'), 'config.json'))
    expect([newer.ropes, newer.layers]).toEqual([gemma3.ropes, gemma3.layers])
  })

  it('is one if both kinds of layers rotate alike', () => {
    const rope_parameters = { full_attention: { rope_theta: 1e4 }, sliding_attention: { rope_theta: 1e4 } }
    const config = readJson(fixtureFolder('gemma2'), 'config.json')
    expect(parseModelSpec({ ...config, rope_theta: undefined, rope_parameters }).ropes).toHaveLength(1)
  })

  it('comes with the scaling of queries in Ministral 3', () => {
    const parameters = { ...YARN, rope_theta: 1e6, llama_4_scaling_beta: 0.1, max_position_embeddings: 512 }
    const spec = specOf({ rope_theta: undefined, rope_parameters: parameters })
    expect(spec.queryScaling).toEqual({ beta: 0.1, originalPositions: 128 })
    expect(specOf({}).queryScaling).toBeUndefined()
  })

  it('has finite frequencies', () => {
    for (const rope_scaling of [YARN, LLAMA3, LONGROPE, DIVISORS]) {
      const [rope] = specOf({ rope_scaling }).ropes
      const { frequencies = [], factor } = rope ? ropeFrequencies(rope, 512) : {}
      expect([...frequencies, factor].every(Number.isFinite)).toBe(true)
      expect(frequencies).toHaveLength(16)
    }
  })
})

describe('refused', () => {
  const refused: readonly [string, Json, string][] = [
    ['dynamic', { rope_scaling: { type: 'dynamic', factor: 2 } }, 'angles that depend on the length of the text'],
    ['mrope', { rope_scaling: { type: 'mrope', mrope_section: [4, 6, 6] } }, 'positions of three axes'],
    ['an unknown type', { rope_scaling: { type: 'constructor' } }, 'supported types: default, linear, llama3'],
    ['two types', { rope_scaling: { type: 'yarn', rope_type: 'linear' } }, 'rope_type is "linear"; type says "yarn"'],
    ['a factor without a type', { rope_scaling: { factor: 2 } }, 'factor is not supported with type "default"'],
    ['a factor of another type', { rope_scaling: { ...LLAMA3, beta_fast: 32 } }, 'beta_fast is not supported'],
    ['linear without a factor', { rope_scaling: { type: 'linear' } }, 'rope_scaling: factor is missing'],
    [
      'llama3 without positions',
      { rope_scaling: { ...LLAMA3, original_max_position_embeddings: null } },
      'original_max',
    ],
    [
      'yarn without positions',
      { rope_scaling: { type: 'yarn', factor: 4 } },
      'original_max_position_embeddings is missing',
    ],
    [
      'llama3 with one border',
      { rope_scaling: { ...LLAMA3, high_freq_factor: 1 } },
      'high_freq_factor is 1; must be above',
    ],
    ['lists of another length', { rope_scaling: LONGROPE, partial_rotary_factor: 0.75 }, 'must have 12 numbers'],
    ['a list with a zero', { rope_scaling: { ...DIVISORS, divisors: [0] } }, 'must be a list of numbers above 0'],
    ['a part of no whole words', { partial_rotary_factor: 0.4 }, 'it rotates 12 dims of 32'],
    ['more than a head', { partial_rotary_factor: 2 }, 'it rotates 64 dims of 32'],
    ['a base of 1', { rope_theta: 1 }, 'rope_theta is 1; must be a number above 1'],
    [
      'two bases',
      { rope_theta: 1e4, rope_parameters: { rope_theta: 2e4 } },
      'rope_theta is 10000; rope_parameters says 20000',
    ],
    ['two scalings', { rope_scaling: YARN, rope_parameters: { rope_theta: 5e5 } }, 'rope_parameters says otherwise'],
    [
      'two parts',
      { partial_rotary_factor: 0.5, rope_parameters: { partial_rotary_factor: 0.75 } },
      'partial_rotary_factor',
    ],
    ['two originals', { rope_scaling: YARN, original_max_position_embeddings: 64 }, 'beside the angles it is 128'],
    ['no global layers', { rope_parameters: { sliding_attention: { rope_theta: 1e4 } } }, 'full_attention is missing'],
    ['a list of tables', { rope_parameters: [YARN] }, 'expected a JSON object'],
    ['other positions', { position_embedding_type: 'alibi' }, 'supported: "rope", "nope"'],
  ]
  it.each(refused)('%s', async (_, change, expected) => {
    const { code, message } = await thrownBy(() => specOf(change))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(expected)
  })

  it('is a local base that rope_parameters contradicts', async () => {
    const config = readJson(fixtureFolder('gemma3-mlx-4bit'), 'config.json')
    const { message } = await thrownBy(() => parseModelSpec({ ...config, rope_local_base_freq: 5000 }))
    expect(message).toContain('rope_local_base_freq is 5000; rope_parameters says otherwise')
    expect(parseModelSpec({ ...config, rope_local_base_freq: 10_000 }).ropes).toHaveLength(2)
  })
})
