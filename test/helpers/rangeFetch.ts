/** A `fetch` that serves files of this repository as `https://models.test/<path>`, ranges as ranges: large ones are never in memory whole. */

import { createReadStream, existsSync, statSync } from 'node:fs'
import { Readable } from 'node:stream'

export async function rangeFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  init?.signal?.throwIfAborted()
  const path = `.${new URL(input instanceof Request ? input.url : input).pathname}`
  if (!existsSync(path)) return new Response('not found', { status: 404 })
  const { size } = statSync(path)
  const asked = /^bytes=(\d+)-(\d*)$/.exec(new Headers(init?.headers).get('range') ?? '')
  const start = asked ? Number(asked[1]) : 0
  const end = Math.min(asked?.[2] ? Number(asked[2]) : size - 1, size - 1)
  const body = Readable.toWeb(createReadStream(path, { start, end, highWaterMark: 1 << 18 })) as ReadableStream
  const headers = { 'content-length': String(end - start + 1), 'content-range': `bytes ${start}-${end}/${size}` }
  return new Response(body, { status: asked ? 206 : 200, headers })
}
