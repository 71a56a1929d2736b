/** The tensors of a model found in GGUF headers: names, rows of fused matrices, pairs, folded norms; all else is refused by name. */

import { describe, expect, it } from 'vitest'
import { bindGguf } from '../../../src/models/bindGguf.ts'
import type { GgufMetadata } from '../../../src/models/ggufFields.ts'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import type { TensorHeader, WeightRole } from '../../../src/models/weightNames.ts'
import { readJson, thrownBy } from '../../helpers/modelFiles.ts'

const specOf = (name: string): ModelSpec =>
  parseModelSpec(readJson(new URL(`../../fixtures/${name}/`, import.meta.url), 'config.json'))
const architecture = (name: string): GgufMetadata => new Map([['general.architecture', name]])

type Headers = Map<string, TensorHeader>

/** The tensors of a spec with separate matrices, of one type; norms and biases in f32. */
function headersOf(spec: ModelSpec, dtype: string, { gatePlain = true } = {}): Headers {
  const { hiddenSize: d, intermediateSize: f, headDim, vocabSize } = spec
  const [q, k] = [spec.numHeads * headDim, spec.numKvHeads * headDim]
  const headers: Headers = new Map()
  const add = (name: string, ...shape: number[]) =>
    headers.set(`${name}.weight`, { dtype: shape.length === 1 ? 'f32' : dtype, shape })
  add('token_embd', vocabSize, d)
  add('output_norm', d)
  if (!spec.tiedEmbeddings) add('output', vocabSize, d)
  for (let layer = 0; layer < spec.numLayers; layer++) {
    const block = `blk.${layer}`
    add(`${block}.attn_norm`, d)
    if (gatePlain) {
      add(`${block}.attn_q`, q, d)
      add(`${block}.attn_k`, k, d)
      add(`${block}.attn_v`, k, d)
      add(`${block}.ffn_gate`, f, d)
      add(`${block}.ffn_up`, f, d)
    } else {
      add(`${block}.attn_qkv`, q + 2 * k, d)
      add(`${block}.ffn_up`, 2 * f, d)
    }
    add(`${block}.attn_output`, d, q)
    add(`${block}.ffn_norm`, d)
    add(`${block}.ffn_down`, d, f)
    if (spec.norms === 'sandwich') {
      add(`${block}.post_attention_norm`, d)
      add(`${block}.post_ffw_norm`, d)
    }
    if (spec.qkNorm) {
      add(`${block}.attn_q_norm`, headDim)
      add(`${block}.attn_k_norm`, headDim)
    }
  }
  return headers
}

const llama = specOf('llama')
const phi3 = specOf('phi3')
const gemma3 = specOf('gemma3')

describe('bindGguf', () => {
  it('binds every tensor of the plan, and puts rows in pairs of q and k alone', () => {
    const bound = bindGguf(llama, architecture('llama'), headersOf(llama, 'q4_k'))
    expect(bound.filter(({ pairedRows }) => pairedRows !== undefined).map(({ role }) => role)).toEqual(
      Array.from({ length: llama.numLayers }, () => ['q', 'k']).flat(),
    )
    expect(bound.find(({ role }) => role === 'q')).toMatchObject({
      files: ['blk.0.attn_q.weight'],
      encoding: { kind: 'ggml', type: 'q4_k' },
      format: { codes: 'u4', group: 32, scales: { kind: 'super' } },
      pairedRows: llama.headDim,
      add: 0,
    })
    expect(bound.find(({ role }) => role === 'inputNorm')).toMatchObject({ format: { codes: 'f32' }, add: 0 })
  })

  it('cuts q, k, v and gate, up out of fused matrices', () => {
    const bound = bindGguf(phi3, architecture('phi3'), headersOf(phi3, 'q8_0', { gatePlain: false }))
    const place = (role: WeightRole) => {
      const found = bound.find((tensor) => tensor.role === role && tensor.layer === 1)
      return [found?.files, found?.firstRow, found?.fileRows, found?.pairedRows]
    }
    const [q, k] = [phi3.numHeads * phi3.headDim, phi3.numKvHeads * phi3.headDim]
    const f = phi3.intermediateSize
    expect(place('q')).toEqual([['blk.1.attn_qkv.weight'], 0, q + 2 * k, undefined])
    expect(place('k')).toEqual([['blk.1.attn_qkv.weight'], q, q + 2 * k, undefined])
    expect(place('v')).toEqual([['blk.1.attn_qkv.weight'], q + k, q + 2 * k, undefined])
    expect(place('gate')).toEqual([['blk.1.ffn_up.weight'], 0, 2 * f, undefined])
    expect(place('up')).toEqual([['blk.1.ffn_up.weight'], f, 2 * f, undefined])
  })

  it('adds nothing to norms that the converter has folded', () => {
    const bound = bindGguf(gemma3, architecture('gemma3'), headersOf(gemma3, 'q8_0'))
    expect(bound.every(({ add }) => add === 0)).toBe(true)
    expect(bound.filter(({ role }) => role === 'postMlpNorm')).toHaveLength(gemma3.numLayers)
  })

  it.each<[string, (headers: Headers) => void, string]>([
    ['missing', (headers) => headers.delete('blk.1.ffn_down.weight'), 'tensor blk.1.ffn_down.weight is missing'],
    ['no gate', (headers) => headers.delete('blk.0.ffn_gate.weight'), 'blk.0.ffn_up.weight has shape'],
    [
      'of another shape',
      (headers) => headers.set('blk.0.attn_q.weight', { dtype: 'q8_0', shape: [8, 32] }),
      'tensor blk.0.attn_q.weight has shape [8, 32], the metadata ask for',
    ],
    [
      'of a type that is not read',
      (headers) => headers.set('output_norm.weight', { dtype: 'q8_0', shape: [llama.hiddenSize] }),
      'tensor output_norm.weight has type Q8_0; it must be F32, F16 or BF16',
    ],
    [
      'of a type that nothing reads',
      (headers) => headers.set('token_embd.weight', { dtype: 'iq2_xxs', shape: [llama.vocabSize, llama.hiddenSize] }),
      'tensor token_embd.weight has type IQ2_XXS, which is not supported; use a file of Q4_K_M',
    ],
    [
      'one too many',
      (headers) => headers.set('blk.0.attn_q.bias', { dtype: 'f32', shape: [256] }),
      'tensor blk.0.attn_q.bias is not part of a llama model',
    ],
    [
      'past the last layer',
      (headers) => headers.set(`blk.${llama.numLayers}.attn_norm.weight`, { dtype: 'f32', shape: [256] }),
      `tensor blk.${llama.numLayers}.attn_norm.weight is not part of a llama model of ${llama.numLayers} layers`,
    ],
  ])('refuses a file with a tensor %s', async (_, change, message) => {
    const headers = headersOf(llama, 'q8_0')
    expect(bindGguf(llama, architecture('llama'), headers).length).toBeGreaterThan(0)
    change(headers)
    const error = await thrownBy(() => bindGguf(llama, architecture('llama'), headers))
    expect(error.code).toBe('MODEL_FORMAT')
    expect(error.message).toContain(message)
  })

  it('leaves divisors of frequencies to the config', () => {
    const headers = headersOf(llama, 'bf16').set('rope_freqs.weight', { dtype: 'f32', shape: [16] })
    expect(bindGguf(llama, architecture('llama'), headers)).toHaveLength(headers.size - 1)
  })
})
