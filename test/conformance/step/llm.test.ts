/** The public class over the real engine, in this process: text in, text out, and what can go wrong with a model or a device. */

import { describe, expect, onTestFinished, test } from 'vitest'
import { CACHED_BLOCK, FREE_BLOCK, type LLM, type LoadOptions, type StepRecord } from '../../../src/index.ts'
import { folderFetch, MODELS, type ModelName } from '../../helpers/folderFetch.ts'
import { loadGolden, recordKind } from '../../helpers/golden.ts'
import { BACKEND, connect, expectPlanned, KV_DTYPE } from '../../helpers/testBackend.ts'

type Fetch = typeof folderFetch

async function load(model: ModelName, options: LoadOptions = {}, fetch: Fetch = folderFetch): Promise<LLM> {
  const llm = await connect(MODELS[model], options, fetch)
  onTestFinished(() => llm.dispose())
  return llm
}

const SMALL = { maxNumBatchedTokens: 48, maxNumSeqs: 8, maxModelLen: 128, kvCacheTokens: 1024 } as const
const MTP = { method: 'mtp', numSpeculativeTokens: 2, adaptive: false } as const

test('a story streams as text, and its pieces are the whole', async () => {
  const records: StepRecord[] = []
  const llm = await load('fairy-tales', { ...SMALL, speculative: MTP, onStep: (record) => records.push(record) })
  const golden = loadGolden('fairy-tales').cases[0]
  const generation = llm.generate('Once upon a time there was', { max_tokens: 24, temperature: 0, ignore_eos: true })
  const pieces: string[] = []
  const ids: number[] = []
  for await (const part of generation) {
    pieces.push(part.text)
    ids.push(...part.token_ids)
  }
  const result = await generation.result()
  expect(ids).toEqual(golden?.[recordKind(KV_DTYPE)].greedy_ids.slice(0, 24))
  expect(result.text).toBe(pieces.join(''))
  expect(result.text).not.toContain('\uFFFD')
  expect(result.finish_reason).toBe('length')
  expect(result.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 24, total_tokens: 30 })
  const { accepted_prediction_tokens: accepted } = result.usage.completion_tokens_details
  expect(accepted).toBe(records.reduce((sum, record) => sum + record.acceptedDrafts, 0))
  expect(accepted).toBeGreaterThan(0)
  const stats = await llm.stats()
  expectPlanned(stats)
  expect(stats.device.backend).toBe(BACKEND)
  expect(stats.plannedBytes).toBe(llm.memory.totalBytes)
  expect(stats.batchInvariant).toBe(true)
  expect(stats.blockOwners.every((owner) => owner === FREE_BLOCK || owner === CACHED_BLOCK)).toBe(true)
})

test('a seed gives the same sampled story again, another seed another one', async () => {
  const llm = await load('fairy-tales', { ...SMALL, speculative: MTP })
  const tell = (seed: number) => llm.generate('The old king', { max_tokens: 12, temperature: 0.9, seed }).result()
  const [one, again, other] = await Promise.all([tell(1), tell(1), tell(2)])
  expect(one.seed).toBe(1)
  expect(again.token_ids).toEqual(one.token_ids)
  expect(other.token_ids).not.toEqual(one.token_ids)
})

/** The fixture with one embedding row of NaN. */
function poisoned(id: number): Fetch {
  return async (input, init) => {
    const response = await folderFetch(input, init)
    if (!String(input).endsWith('model.safetensors')) return response
    const bytes = new Uint8Array(await response.arrayBuffer())
    const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true))
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)))
    const { data_offsets, shape } = header['model.embed_tokens.weight']
    const rowBytes = shape[1] * 2
    const start = 8 + headerLength + data_offsets[0] + id * rowBytes
    for (let i = 0; i < rowBytes; i += 2) bytes.set([0xc0, 0x7f], start + i)
    return new Response(bytes, { headers: { 'content-length': String(bytes.length) } })
  }
}

test('a logit that is not finite ends its request with NUMERIC_ERROR and no other', async () => {
  const llm = await load('qwen3-mtp', { ...SMALL, speculative: MTP }, poisoned(77))
  const clean = { max_tokens: 16, temperature: 0, ignore_eos: true }
  const golden = loadGolden('qwen3-mtp').cases[1]
  const prompt_token_ids = golden?.prompt_ids ?? []
  expect(prompt_token_ids).not.toContain(77)
  const good = llm.generate({ prompt_token_ids }, clean).result()
  const bad = llm.generate({ prompt_token_ids: [5, 77, 9] }, clean).result()
  await expect(bad).rejects.toMatchObject({ code: 'NUMERIC_ERROR' })
  expect((await good).token_ids).toEqual(golden?.[recordKind(KV_DTYPE)].greedy_ids.slice(0, 16))
  // Its blocks hold NaN now; whoever gets them next must not see it.
  const crowd = Array.from({ length: 8 }, () => llm.generate({ prompt_token_ids }, clean).result())
  for (const one of await Promise.all(crowd))
    expect(one.token_ids).toEqual(golden?.[recordKind(KV_DTYPE)].greedy_ids.slice(0, 16))
})

describe('what a load refuses', () => {
  test('more KV cache than the device can address: LIMIT_EXCEEDED, before any weight is fetched', async () => {
    const fetched: string[] = []
    const watch: Fetch = (input, init) => {
      const { range } = Object.fromEntries(new Headers(init?.headers))
      if (String(input).endsWith('.safetensors') && !range) fetched.push(String(input))
      return folderFetch(input, init)
    }
    const loading = load('qwen3-mtp', { ...SMALL, kvCacheTokens: 2 ** 26 }, watch)
    await expect(loading).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('kvCacheTokens'),
    })
    expect(fetched).toEqual([])
  })

  // SwiftShader refuses a buffer of 1 GiB, which its limits allow. Where there is so much memory, there is nothing to refuse.
  test('more memory than the device has: OUT_OF_MEMORY, and the next load works', async () => {
    const loading = load('qwen3-mtp', { ...SMALL, kvCacheTokens: 2 ** 23 })
    const outcome = await loading.then(
      () => 'loaded',
      ({ code, message }) => `${code}: ${message}`,
    )
    const { device } = await load('qwen3-mtp', SMALL)
    if (device.backend === 'webgpu' && device.adapter.architecture === 'swiftshader')
      expect(outcome).toMatch(/^OUT_OF_MEMORY: .*lower kvCacheTokens$/)
    else expect(outcome).toMatch(/^(loaded|OUT_OF_MEMORY|LIMIT_EXCEEDED)/)
  })

  test.each([
    [{ maxNumBatchedTokens: 4, maxNumSeqs: 8 }, 'INVALID_OPTION', /maxNumBatchedTokens.*maxNumSeqs/],
    [{ maxModelLen: 128, kvCacheTokens: 64 }, 'INVALID_OPTION', /kvCacheTokens/],
    [{ maxModelLen: 4096 }, 'INVALID_OPTION', /maxModelLen/],
    [{ speculative: { method: 'mtp', numSpeculativeTokens: 5 } }, 'INVALID_OPTION', /numSpeculativeTokens/],
  ] as const)('%j is %s', async (options, code, message) => {
    await expect(load('qwen3-mtp', options)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })
})
