/** What a browser may do instead of giving a WebGPU device, or while a model loads onto one: none of it is a defect of ours. */

import { describe, expect, it } from 'vitest'
import { type GpuOwner, openDevice } from '../../src/gpu/device.ts'
import { DeviceFaults } from '../../src/gpu/faults.ts'
import { PipelineCache } from '../../src/gpu/kernel.ts'
import { verifyStep } from '../../src/kernels/verifyStep.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import { createService } from '../../src/worker/service.ts'
import { errorOf } from '../helpers/connect.ts'
import { FakeGpu, ownerOf } from '../helpers/fakeGpu.ts'
import { folderFetch, MODELS } from '../helpers/folderFetch.ts'
import { LAZY_MODULES } from '../helpers/lazyModules.ts'

const fake = new FakeGpu({ timestamps: true })

function failing(reason: string): () => never {
  return () => {
    throw new DOMException(reason, 'OperationError')
  }
}

/** An owner of the fake's adapter with some members changed; getters stay getters. */
function adapterWith(members: object): GpuOwner {
  return ownerOf(async () => Object.defineProperties(fake.adapter(), Object.getOwnPropertyDescriptors(members)))
}

describe('no device is BACKEND_UNAVAILABLE with the reason', () => {
  const noLimits = async () => ({ features: new Set(), limits: {}, lost: new Promise(() => {}) })
  const CASES: readonly (readonly [what: string, owner: GpuOwner, message: RegExp])[] = [
    ['no WebGPU', { gpu: undefined }, /https or localhost/],
    [
      'a getter of navigator.gpu that throws',
      Object.defineProperty({ gpu: undefined }, 'gpu', { get: failing('blocked by policy') }),
      /OperationError: blocked by policy/,
    ],
    ['no adapter', ownerOf(async () => null), /no adapter: turn on hardware acceleration/],
    ['requestAdapter rejects', ownerOf(async () => failing('GPU process died')()), /GPU process died/],
    ['requestAdapter throws', ownerOf(failing('not in this context')), /not in this context/],
    ['requestAdapter gives what is none', ownerOf(async () => ({})), /gave no device/],
    ['no limits of the adapter', adapterWith({ limits: undefined }), /gave no device/],
    ['requestDevice rejects', adapterWith({ requestDevice: async () => failing('no memory')() }), /no memory/],
    ['requestDevice throws', adapterWith({ requestDevice: failing('expired') }), /expired/],
    ['a device without limits', adapterWith({ requestDevice: noLimits }), /does not tell maxBufferSize, /],
  ]

  it.each(CASES)('%s', async (_, owner, message) => {
    const opening = await errorOf(openDevice(owner))
    expect(opening).toMatchObject({ code: 'BACKEND_UNAVAILABLE', message: expect.stringMatching(message) })
    // The same through everything that the worker has in between.
    const service = createService(
      {
        get gpu() {
          return owner.gpu
        },
        now: () => 0,
        fetch: folderFetch,
      },
      LAZY_MODULES,
    )
    const listener = { progress: () => {}, step: () => {} }
    const webgpu = { backend: 'webgpu' } as const
    for (const outcome of [await service.probe(webgpu), await service.load(MODELS['qwen3-mtp'], webgpu, listener)]) {
      expect(outcome).toMatchObject({ ok: false, error: { code: 'BACKEND_UNAVAILABLE', message: opening.message } })
    }
  })
})

describe('what is optional stays optional', () => {
  it('an adapter without info is one that nothing is known of', async () => {
    const nothing = { vendor: '', architecture: '', description: '', software: false }
    expect((await openDevice(adapterWith({ info: undefined }))).adapter).toEqual(nothing)
    const throwing = Object.defineProperty({}, 'info', { get: failing('not allowed'), enumerable: true })
    expect((await openDevice(adapterWith(throwing))).adapter).toEqual(nothing)
    expect((await openDevice(adapterWith({ info: { vendor: 'mesa', architecture: 'llvmpipe' } }))).adapter).toEqual({
      ...nothing,
      vendor: 'mesa',
      architecture: 'llvmpipe',
      software: true,
    })
  })

  it('a feature that is listed but refused is done without, on an adapter that the refusal has not used up', async () => {
    const asked: string[][] = []
    let adapters = 0
    const owner = ownerOf(async () => {
      adapters++
      let used = false
      const adapter = fake.adapter()
      return {
        ...adapter,
        requestDevice: async (descriptor: { requiredFeatures: string[] }) => {
          if (used) failing('the adapter is consumed')()
          used = true
          asked.push(descriptor.requiredFeatures)
          if (descriptor.requiredFeatures.length > 0) failing('timestamp-query is not supported')()
          return adapter.requestDevice(descriptor)
        },
      }
    })
    const { device } = await openDevice(owner)
    expect(device.features.has('timestamp-query')).toBe(false)
    expect(asked).toEqual([['timestamp-query'], []])
    expect(adapters).toBe(2)
  })
})

describe('a device that fails while it is used', () => {
  it('that is lost may fail its work first: the loss is what is told', async () => {
    let lose = (_: WeirError) => {}
    const lost = new Promise<WeirError>((resolve) => {
      lose = resolve
    })
    const faults = new DeviceFaults({ ...(await fake.open()), lost })
    const work = faults.orFault(Promise.reject(new DOMException('Instance dropped', 'AbortError')))
    queueMicrotask(() => queueMicrotask(() => lose(new WeirError('DEVICE_LOST', 'gone'))))
    expect(await errorOf(work)).toMatchObject({ code: 'DEVICE_LOST', message: 'gone' })
  })

  it('a command that the driver could not carry out is the loss of the device, one that was refused a defect', async () => {
    class GPUInternalError extends Error {}
    class GPUValidationError extends Error {}
    const codeAfter = async (error: Error) => {
      const { device, ...gpu } = await fake.open()
      const target = new EventTarget()
      const listening = Object.assign(Object.create(device), {
        addEventListener: target.addEventListener.bind(target),
      })
      const faults = new DeviceFaults({ ...gpu, device: listening })
      target.dispatchEvent(Object.assign(new Event('uncapturederror'), { error }))
      return faults.first?.code
    }
    expect(await codeAfter(new GPUInternalError('driver crashed'))).toBe('DEVICE_LOST')
    expect(await codeAfter(new GPUValidationError('no such binding'))).toBe('INTERNAL')
  })

  it('a kernel that the driver cannot compile is BACKEND_UNAVAILABLE, one that is not valid a defect', async () => {
    const codeFor = async (reason: string) => {
      const { device } = await fake.open()
      const createComputePipelineAsync = async () => {
        throw Object.assign(new Error('compilation failed'), { reason })
      }
      const refusing = Object.assign(Object.create(device), { createComputePipelineAsync })
      const compiling = new PipelineCache(refusing).compile(verifyStep.kernel, verifyStep.specialise({ vocabSize: 8 }))
      return (await errorOf(compiling)).code
    }
    expect(await codeFor('internal')).toBe('BACKEND_UNAVAILABLE')
    expect(await codeFor('validation')).toBe('INTERNAL')
  })
})
