/** How many threads there can be, by the page's isolation and what comes with the file that each of them runs. */

import { afterEach, expect, it, vi } from 'vitest'
import { possibleThreads } from '../../../src/ort/threads.ts'
import { type Answer, serve, type TestServer } from '../../helpers/httpServer.ts'

let server: TestServer | undefined

afterEach(async () => {
  vi.unstubAllGlobals()
  await server?.close()
})

const POLICY = { 'cross-origin-embedder-policy': 'require-corp' }

/** Threads of the three asked for, and how often their file was fetched. */
async function threads(isolated: boolean, answer: Answer, numThreads = 3) {
  server = await serve({ '/glue.js': answer })
  vi.stubGlobal('crossOriginIsolated', isolated)
  vi.stubGlobal('origin', server.url)
  return [await possibleThreads({ glue: new URL(`${server.url}/glue.js`), numThreads }), server.requests.length]
}

it('one without isolation, and if one is asked for, without a fetch', async () => {
  expect(await threads(false, { body: '', headers: POLICY })).toEqual([1, 0])
  expect(await threads(true, { body: '', headers: POLICY }, 1)).toEqual([1, 0])
})

it('all where the file comes with the policy that a worker needs, else one', async () => {
  expect(await threads(true, { body: '', headers: POLICY })).toEqual([3, 1])
  expect(await threads(true, { body: '' })).toEqual([1, 1])
})

it('all where the file is of another origin, which is run from a Blob, and where it is missing, which is told later', async () => {
  expect(await threads(true, { body: '', status: 404 })).toEqual([3, 1])
  server = await serve({ '/glue.js': { body: '' } })
  vi.stubGlobal('crossOriginIsolated', true)
  vi.stubGlobal('origin', 'https://page.test')
  expect(await possibleThreads({ glue: new URL(`${server.url}/glue.js`), numThreads: 3 })).toBe(3)
  expect(server.requests).toEqual([])
})
