/** Loading a model onto a backend: what is found in its files, what ends its texts, and what is quantised on the way. */

import { describe, expect, it } from 'vitest'
import type { Backend, BackendRunner, RunnerSource } from '../../src/backend/backend.ts'
import type { Quantization } from '../../src/protocol/engineOptions.ts'
import { formatName } from '../../src/weights/format.ts'
import { type LoadedModel, modelLoader } from '../../src/worker/loadModel.ts'
import { GPU_DEFAULTS } from '../helpers/backendDefaults.ts'
import { folderFetch, MODELS } from '../helpers/folderFetch.ts'
import { thrownBy } from '../helpers/modelFiles.ts'

const FIXTURES = 'https://models.test/test/fixtures'

/** Loads onto a backend that keeps what it is asked to make a runner of. `files` stand before those of the folder, by name. */
async function load(
  url: string,
  quantization: Quantization = 'none',
  files: Readonly<Record<string, unknown>> = {},
): Promise<{ loaded: LoadedModel; source: RunnerSource; planned: readonly string[] }> {
  const sources: RunnerSource[] = []
  const planned: string[] = []
  const backend: Backend = {
    name: 'wasm',
    defaults: () => ({ ...GPU_DEFAULTS, kvCacheDtype: 'f32' }),
    plan: (_spec, _options, tensors) => {
      planned.push(...tensors.map(({ format }) => formatName(format)))
      return { weightBytes: 0, kvCacheBytes: 0, workspaceBytes: 0, totalBytes: 0, buffers: [] }
    },
    open: async () => ({
      device: { backend: 'wasm', threads: 1 },
      lost: new Promise(() => {}),
      createRunner: async (from) => {
        sources.push(from)
        return {} as BackendRunner
      },
      close: () => {},
    }),
  }
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const name = new URL(String(input)).pathname.split('/').at(-1) ?? ''
    return name in files ? new Response(JSON.stringify(files[name])) : folderFetch(input, init)
  }
  const { load } = modelLoader({ webgpu: async () => backend, wasm: async () => backend }, { now: () => 0, fetch })
  const control = { signal: new AbortController().signal, onProgress: () => {} }
  const loaded = await load(url, { backend: 'wasm', maxModelLen: 64, quantization }, control)
  const [source] = sources
  if (!source) throw new Error('no runner was made')
  return { loaded, source, planned }
}

describe('end-of-text ids', () => {
  const url = MODELS['fairy-tales']

  it('are those of generation_config.json, with the one that tokenizer_config.json names', async () => {
    const { loaded } = await load(url)
    const token = 'e'
    const known = loaded.tokenizer?.idOf(token)
    if (known === undefined || loaded.spec.eosTokenIds.includes(known)) throw new Error('a token that is no end yet')
    for (const eos_token of [token, { content: token }]) {
      const { loaded: other, source } = await load(url, 'none', { 'tokenizer_config.json': { eos_token } })
      expect(other.spec.eosTokenIds).toEqual([...loaded.spec.eosTokenIds, known])
      expect(source.spec.eosTokenIds).toEqual(other.spec.eosTokenIds)
    }
  })

  it('are the same where that is no token, or one of them already', async () => {
    const { eosTokenIds } = (await load(url)).loaded.spec
    const token = (await load(url)).loaded.tokenizer?.decode([eosTokenIds[0] ?? 0], { skipSpecial: false })
    for (const eos_token of ['no such token', token, undefined]) {
      const { loaded } = await load(url, 'none', { 'tokenizer_config.json': { eos_token } })
      expect(loaded.spec.eosTokenIds).toEqual(eosTokenIds)
    }
  })
})

describe('quantization', () => {
  it.each(['int8', 'int4'] as const)("'%s' quantises what the backend plans and reads", async (quantization) => {
    const { loaded, source, planned } = await load(`${FIXTURES}/llama`, quantization)
    const formats = new Set(planned)
    expect([...formats].sort()).toEqual(
      ['f32', ...(quantization === 'int4' ? ['u4 g32 half 8'] : []), 'u8 g32 half 128'].sort(),
    )
    expect(source.weights.tensors.map(({ format }) => formatName(format))).toEqual(planned)
    expect(loaded.info.options.quantization).toBe(quantization)
    expect(source.quantization).toBe(quantization)
  })

  it.each([
    ['qwen3-mlx-4bit', 'u4 g64 offset bf16'],
    ['llama-gptq-g128', 'u4 g128 zeroPoint'],
    ['llama-gguf-q8_0/model.gguf', 'u8 g32 half 128'],
  ])('of %s, which is quantised already, is refused, naming the format', async (name, format) => {
    for (const quantization of ['int8', 'int4'] as const) {
      const error = await thrownBy(() => load(`${FIXTURES}/${name}`, quantization))
      expect(error.code).toBe('INVALID_OPTION')
      expect(error.message).toContain(`quantization '${quantization}' needs a model in bf16, f16 or f32`)
      expect(error.message).toContain(format)
    }
  })
})

it('a GGUF file loads by its URL, without a tokenizer', async () => {
  const { loaded, source } = await load(`${FIXTURES}/llama-gguf-q4_k_m/model.gguf`)
  expect(loaded.info.model).toMatchObject({ name: 'model.gguf', architecture: 'LlamaForCausalLM' })
  expect(loaded.info.warnings.map(({ code }) => code)).toEqual(['NO_TOKENIZER'])
  expect(new Set(source.weights.tensors.map(({ format }) => formatName(format)))).toContain('u4 g32 super')
})
