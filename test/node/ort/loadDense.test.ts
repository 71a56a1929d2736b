/** Loading the dense half: tensors in any order, when sessions are made, and every way it can fail. The runtime is a fake here. */

import { describe, expect, it } from 'vitest'
import { type DenseSource, loadDense } from '../../../src/ort/loadDense.ts'
import { type CreateSession, createSession } from '../../../src/ort/session.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import { errorOf } from '../../helpers/connect.ts'
import { randomTensors, SMALL, SMALL_MIMO, streamOf } from '../../helpers/denseReference.ts'

/** A runtime without sessions that run: it notes what is made, with a copy of its weights, and what is released. */
class FakeRuntime {
  readonly made = new Map<string, Float32Array>()
  readonly released: string[] = []
  /** called instead of making the session of that name */
  readonly faults = new Map<string, () => void>()

  readonly createSession: CreateSession = async (name, _model, weights) => {
    this.faults.get(name)?.()
    this.made.set(name, new Float32Array(weights.slice().buffer))
    return {
      run: () => Promise.reject(new Error('a fake')),
      release: async () => {
        this.released.push(name)
      },
    }
  }
}

const tensors = randomTensors(SMALL, 1)
const ALL = ['first', 'middle0', 'middle1', 'last', 'head', 'drafterInput', 'drafterOutput']

function load(runtime: FakeRuntime, changes: Partial<DenseSource> = {}) {
  const { createSession } = runtime
  return loadDense({ spec: SMALL, weights: streamOf(tensors), withDrafter: true, createSession, ...changes })
}

describe('sessions', () => {
  it('have the same weights whatever the order of the tensors, and are made as soon as the last one came', async () => {
    const inOrder = new FakeRuntime()
    await load(inOrder)
    expect([...inOrder.made.keys()].sort()).toEqual([...ALL].sort())
    // Every value was written: the tensors hold none that is not finite.
    for (const weights of inOrder.made.values()) expect(weights.every(Number.isFinite)).toBe(true)

    const reversed = new FakeRuntime()
    const before = new Map<string, number>()
    const backwards = tensors.toReversed()
    const stream = streamOf(backwards)
    await load(reversed, {
      weights: {
        ...stream,
        stream: (onTensor, options) =>
          stream.stream(async (info, data) => {
            await onTensor(info, data)
            before.set(info.name, reversed.made.size)
          }, options),
      },
    })
    expect(reversed.made).toEqual(inOrder.made)
    const lastDrafterTensor = backwards.findLast(({ name }) => name.startsWith('mtp.layers'))?.name ?? ''
    expect(before.get(lastDrafterTensor)).toBe(1) // its output; its input needs tensors that come later
    expect(before.get('lm_head.weight')).toBe(3)
  })

  it('of a drafter are made only where it is used', async () => {
    const runtime = new FakeRuntime()
    const model = await load(runtime, { withDrafter: false })
    expect([...runtime.made.keys()].sort()).toEqual(ALL.filter((name) => !name.startsWith('drafter')).sort())
    await model.release()
    expect(runtime.released.sort()).toEqual([...runtime.made.keys()].sort())
  })

  it('leave tensors alone that the model does not have', async () => {
    const runtime = new FakeRuntime()
    const other = { name: 'vision.tower', dtype: 'F32', shape: [2], data: new Uint8Array(8) } as const
    await load(runtime, { weights: streamOf([other, ...tensors]) })
    expect(runtime.made.size).toBe(ALL.length)
  })
})

describe('a load that fails', () => {
  const nothingLeft = ({ made, released }: FakeRuntime) => expect(released.sort()).toEqual([...made.keys()].sort())

  it('is MODEL_FORMAT where the header lacks a tensor or has another shape, and makes no session', async () => {
    const runtime = new FakeRuntime()
    const without = tensors.filter(({ name }) => name !== 'model.norm.weight')
    expect(await errorOf(load(runtime, { weights: streamOf(without) }))).toMatchObject({
      code: 'MODEL_FORMAT',
      message: expect.stringContaining('model.norm.weight'),
    })
    const wide = tensors.map((tensor) => (tensor.name === 'lm_head.weight' ? { ...tensor, shape: [37, 24] } : tensor))
    expect((await errorOf(load(runtime, { weights: streamOf(wide) }))).code).toBe('MODEL_FORMAT')
    expect(runtime.made.size).toBe(0)
  })

  it.each(tensors.map(({ name }) => name))(
    'is MODEL_FORMAT where %s is in the header and does not come',
    async (name) => {
      const runtime = new FakeRuntime()
      const stream = streamOf(tensors.filter((tensor) => tensor.name !== name))
      const weights = { ...stream, tensors: streamOf(tensors).tensors }
      expect((await errorOf(load(runtime, { weights }))).code).toBe('MODEL_FORMAT')
      nothingLeft(runtime)
    },
  )

  it.each([
    new Error("Can't create a session. ERROR_CODE: 6, ERROR_MESSAGE: std::bad_alloc"),
    new Error("Can't create a session. failed to allocate a buffer of size 4096."),
    new WebAssembly.RuntimeError('memory access out of bounds'),
    new RangeError('Array buffer allocation failed'),
  ])('at "%s" is OUT_OF_MEMORY with what to do, and releases what was made', async (thrown) => {
    // The real function that makes sessions, over an ONNX Runtime that throws.
    const runtime = new FakeRuntime()
    const { InferenceSession } = await import('onnxruntime-web/wasm')
    const create = InferenceSession.create
    const failing: CreateSession = async (name, model, weights) => {
      if (name !== 'middle1') return runtime.createSession(name, model, weights)
      InferenceSession.create = () => Promise.reject(thrown)
      return createSession(name, model, weights).finally(() => {
        InferenceSession.create = create
      })
    }
    const error = await errorOf(load(runtime, { createSession: failing }))
    expect(error).toMatchObject({
      code: 'OUT_OF_MEMORY',
      message: expect.stringMatching(/smaller model.*backend.*webgpu/),
    })
    expect(error.message).toContain(thrown.message)
    expect(runtime.made.has('middle0')).toBe(true)
    nothingLeft(runtime)
  })

  it('at an error of the stream throws that one', async () => {
    const runtime = new FakeRuntime()
    const weights = { ...streamOf(tensors), stream: () => Promise.reject(new WeirError('MODEL_FETCH', 'cut off')) }
    expect(await errorOf(load(runtime, { weights }))).toMatchObject({ code: 'MODEL_FETCH', message: 'cut off' })
    const noRoom = { ...weights, stream: () => Promise.reject(new RangeError('Array buffer allocation failed')) }
    expect((await errorOf(load(runtime, { weights: noRoom }))).code).toBe('OUT_OF_MEMORY')
  })

  it('by its signal is ABORTED before the next session is made', async () => {
    const runtime = new FakeRuntime()
    const abort = new AbortController()
    runtime.faults.set('middle0', () => abort.abort())
    expect((await errorOf(load(runtime, { signal: abort.signal }))).code).toBe('ABORTED')
    expect([...runtime.made.keys()].sort()).toEqual(['first', 'middle0'])
    nothingLeft(runtime)
  })
})

describe('biases', () => {
  it('of queries, keys and values lie in this order behind their matrices', async () => {
    const stored = randomTensors(SMALL_MIMO, 9)
    const runtime = new FakeRuntime()
    await load(runtime, { spec: SMALL_MIMO, weights: streamOf(stored) })
    const first = runtime.made.get('first') ?? new Float32Array()
    const { hiddenSize, numHeads, numKvHeads, headDim } = SMALL_MIMO
    const outputs = (numHeads + 2 * numKvHeads) * headDim
    expect(first).toHaveLength(hiddenSize + outputs * hiddenSize + outputs)
    const size = (role: string) =>
      stored.find(({ name }) => name === `model.layers.0.self_attn.${role}_proj.bias`)?.shape
    expect([size('q'), size('k'), size('v')]).toEqual([[36], [12], [12]])
  })
})
