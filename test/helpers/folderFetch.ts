/** A `fetch` that serves a folder of this repository as `https://models.test/<path>`: the loader's own path, without a network. */

import { readFile } from 'node:fs/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** the repository, where every script starts: benchmarks run this from a bundle that is elsewhere */
const ROOT = pathToFileURL(`${process.cwd()}/`)

/** The models the tests run, by folder. */
export const MODELS = {
  'fairy-tales': 'https://models.test/public/models/fairy-tales/',
  'qwen3-mtp': 'https://models.test/public/models/qwen3-mtp/',
  mimo: 'https://models.test/test/fixtures/mimo/',
} as const

export type ModelName = keyof typeof MODELS

export async function folderFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  init?.signal?.throwIfAborted()
  const url = new URL(input instanceof Request ? input.url : input)
  const path = fileURLToPath(new URL(`.${url.pathname}`, ROOT))
  const bytes = await readFile(path).catch(() => undefined)
  if (!bytes) return new Response('not found', { status: 404 })
  return new Response(new Uint8Array(bytes), { headers: { 'content-length': String(bytes.length) } })
}
