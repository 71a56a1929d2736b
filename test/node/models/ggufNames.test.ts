/** Names of tensors in GGUF files, and what the converter did to them. */

import { describe, expect, it } from 'vitest'
import { type GgufRole, ggufName, ggufRewrites } from '../../../src/models/ggufNames.ts'
import { unpaired } from '../../../src/weights/rowSlices.ts'
import { ggufFixture, parsedGguf } from '../../helpers/ggufWriter.ts'

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
      expect(permuted.map((_, row) => unpaired(row, headDim))).toEqual(permuted)
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
