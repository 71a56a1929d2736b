/** ONNX Runtime itself without its file: in a process of its own, because it starts once. */

import { expect, it } from 'vitest'
import { loadOrt } from '../../../src/ort/runtime.ts'
import { errorOf } from '../../helpers/connect.ts'
import { ORT_FILES } from '../../helpers/ort.ts'

it('a wasm file that is missing is BACKEND_UNAVAILABLE, and a second try asks for a new worker', async () => {
  const missing = { ...ORT_FILES, wasm: new URL('./missing.wasm', ORT_FILES.wasm), numThreads: 1 }
  const first = await errorOf(loadOrt(missing))
  expect(first).toMatchObject({ code: 'BACKEND_UNAVAILABLE', message: expect.stringContaining('missing.wasm') })
  const second = await errorOf(loadOrt({ ...ORT_FILES, numThreads: 1 }))
  expect(second).toMatchObject({ code: 'BACKEND_UNAVAILABLE', message: expect.stringContaining('only a new worker') })
})
