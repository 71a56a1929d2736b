/** The option `quantization`: 'w8a8' is refused on the GPU, and what is right goes to the runner. */

import { expect, it } from 'vitest'
import type { Backend, RunnerSource } from '../../src/backend/backend.ts'
import { ortPlan } from '../../src/ort/ortPlan.ts'
import type { Quantization } from '../../src/protocol/engineOptions.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import { gpuBackend } from '../../src/runner/gpuBackend.ts'
import { modelLoader } from '../../src/worker/loadModel.ts'
import { GPU_DEFAULTS } from '../helpers/backendDefaults.ts'
import { errorOf } from '../helpers/connect.ts'
import { folderFetch, MODELS } from '../helpers/folderFetch.ts'

const NO_RUNNER = new WeirError('INTERNAL', 'a fake has no runner')

/** Real plans over devices that open and make no runner; notes what runners were made of. */
function fakes() {
  const asked: RunnerSource[] = []
  const open: Backend['open'] = async () => ({
    device: { backend: 'wasm', threads: 1 },
    lost: new Promise(() => {}),
    createRunner: (from) => {
      asked.push(from)
      return Promise.reject(NO_RUNNER)
    },
    close: () => {},
  })
  const webgpu: Backend = { ...gpuBackend({ gpu: undefined }), open }
  const wasm: Backend = {
    name: 'wasm',
    defaults: () => ({ ...GPU_DEFAULTS, kvCacheDtype: 'f32' }),
    plan: ortPlan,
    open,
  }
  const environment = { now: () => 0, fetch: folderFetch as typeof fetch }
  const loader = modelLoader({ webgpu: async () => webgpu, wasm: async () => wasm }, environment)
  return { loader, asked }
}

const CONTROL = { signal: new AbortController().signal, onProgress: () => {} }
const URL = MODELS['qwen3-mtp']

it("'w8a8' is refused on the GPU before anything is fetched for it, at plan and load", async () => {
  const { loader, asked } = fakes()
  for (const backend of ['webgpu', 'auto'] as const) {
    const options = { backend, quantization: 'w8a8' } as const
    for (const refused of [() => loader.plan(URL, options), () => loader.load(URL, options, CONTROL)]) {
      expect(await errorOf(refused())).toMatchObject({
        code: 'INVALID_OPTION',
        message: expect.stringContaining("quantization 'w8a8' needs backend 'wasm'"),
        details: { option: 'quantization', value: 'w8a8' },
      })
    }
  }
  expect(asked).toEqual([])
})

it("'int8' and 'int4' are planned on the GPU, each smaller than the other and than 'none'", async () => {
  const { loader } = fakes()
  const bytes = async (quantization: Quantization) =>
    (await loader.plan(URL, { backend: 'webgpu', quantization })).weightBytes
  const [none, int8, int4] = [await bytes('none'), await bytes('int8'), await bytes('int4')]
  expect(int8).toBeLessThan(none)
  expect(int4).toBeLessThan(int8)
})

it("'none' is as good as nothing", async () => {
  const { loader } = fakes()
  for (const backend of ['webgpu', 'wasm'] as const) {
    const plan = await loader.plan(URL, { backend })
    expect(await loader.plan(URL, { backend, quantization: 'none' })).toEqual(plan)
  }
})

it('what is asked for is planned by, and goes to the runner beside the options of the engine', async () => {
  const { loader, asked } = fakes()
  const wasm = { backend: 'wasm', maxNumBatchedTokens: 16 } as const
  for (const quantization of [undefined, 'none', 'w8a8'] as const) {
    const options = { ...wasm, ...(quantization && { quantization }) }
    expect(await errorOf(loader.load(URL, options, CONTROL))).toBe(NO_RUNNER)
  }
  expect(asked.map(({ quantization }) => quantization)).toEqual(['none', 'none', 'w8a8'])
  for (const { options } of asked) expect(options).not.toHaveProperty('quantization')
  const [none, w8a8] = [await loader.plan(URL, wasm), await loader.plan(URL, { ...wasm, quantization: 'w8a8' })]
  expect(w8a8.weightBytes).not.toBe(none.weightBytes)
})
