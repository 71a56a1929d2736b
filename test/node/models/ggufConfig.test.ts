/** GGUF metadata as config.json: what a file says and what its family adds are the config that it was made from. */

import { describe, expect, it } from 'vitest'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import { ropeFrequencies } from '../../../src/models/rope.ts'
import { GGUF_FIXTURES } from '../../helpers/folderFetch.ts'
import { comparable, configOf, DEFAULTS, withoutIds } from '../../helpers/ggufConfigs.ts'
import { ggufFixture, parsedGguf } from '../../helpers/ggufWriter.ts'

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
