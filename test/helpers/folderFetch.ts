/** A `fetch` that serves a folder of this repository as `https://models.test/<path>`: the loader's own path, without a network. */

import { readFile } from 'node:fs/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** the repository, where every script starts: benchmarks run this from a bundle that is elsewhere */
const ROOT = pathToFileURL(`${process.cwd()}/`)

/** The checkpoints of test/fixtures by what they hold. */
export const PLAIN_FIXTURES = [
  'gemma2',
  'gemma3',
  'granite',
  'llama',
  'llama-linear',
  'llama-yarn',
  'mimo',
  'ministral',
  'mistral',
  'olmo2',
  'phi3',
  'qwen2',
  'qwen3',
  'smollm',
  'smollm3',
] as const
export const QUANTISED_FIXTURES = [
  'gemma3-mlx-4bit',
  'llama-awq-g128',
  'llama-gptq-g128',
  'qwen2-gptq-asym',
  'qwen2-mlx-mixed',
  'qwen3-mlx-4bit',
  'qwen3-mlx-8bit',
] as const
export const GGUF_FIXTURES = [
  'gemma3-gguf-q8_0',
  'llama-gguf-f16',
  'llama-gguf-q4_0',
  'llama-gguf-q4_k_m',
  'llama-gguf-q8_0',
  'qwen2-gguf-q5',
  'qwen3-gguf-q5_k',
] as const

const ALL = [...PLAIN_FIXTURES, ...QUANTISED_FIXTURES, ...GGUF_FIXTURES]
export type FixtureName = (typeof ALL)[number]
export type ModelName = 'fairy-tales' | 'qwen3-mtp' | FixtureName

/** The models the tests run: a folder each, or a file. */
export const MODELS: Readonly<Record<ModelName, string>> = {
  'fairy-tales': 'https://models.test/public/models/fairy-tales/',
  'qwen3-mtp': 'https://models.test/public/models/qwen3-mtp/',
  ...(Object.fromEntries(ALL.map((name) => [name, fixtureUrl(name)])) as Readonly<Record<FixtureName, string>>),
}

function fixtureUrl(name: FixtureName): string {
  const file = GGUF_FIXTURES.some((each) => each === name) ? 'model.gguf' : ''
  return `https://models.test/test/fixtures/${name}/${file}`
}

export async function folderFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  init?.signal?.throwIfAborted()
  const url = new URL(input instanceof Request ? input.url : input)
  const path = fileURLToPath(new URL(`.${url.pathname}`, ROOT))
  const bytes = await readFile(path).catch(() => undefined)
  if (!bytes) return new Response('not found', { status: 404 })
  return new Response(new Uint8Array(bytes), { headers: { 'content-length': String(bytes.length) } })
}
