/** Loading the dense half: files in any order, chunks of any size, when sessions are made, and every way it can fail. The runtime is a fake here. */

import { describe, expect, it } from 'vitest'
import type { ModelWeights } from '../../../src/backend/backend.ts'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { type DenseSource, loadDense } from '../../../src/ort/loadDense.ts'
import { type CreateSession, createSession } from '../../../src/ort/session.ts'
import { sessionPlans } from '../../../src/ort/sessionPlans.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import { at } from '../../../src/util/math.ts'
import { errorOf } from '../../helpers/connect.ts'
import { SMALL, SMALL_MIMO } from '../../helpers/denseReference.ts'
import { weightsOf } from '../../helpers/memoryWeights.ts'
import { shuffled } from '../../helpers/random.ts'
import { randomTensors, type StoredTensor } from '../../helpers/storedTensors.ts'

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
const HEAD_FIRST = ['head', 'first', 'middle0', 'middle1', 'last', 'drafterInput', 'drafterOutput']

function load(runtime: FakeRuntime, changes: Partial<DenseSource> = {}) {
  const { createSession } = runtime
  return loadDense({ spec: SMALL, weights: weightsOf(tensors), withDrafter: true, createSession, ...changes })
}

/** Weights that tell which tensors are asked for, and after each chunk that the loader took whether it was a tensor's last. */
function watched(weights: ModelWeights, after: (name: string, whole: boolean) => void) {
  const asked: string[] = []
  const read: ModelWeights['read'] = (wanted, sink, options) => {
    asked.push(...wanted.map(({ name }) => name))
    return weights.read(
      wanted,
      async (tensor, firstRow, rows) => {
        await sink(tensor, firstRow, rows)
        after(tensor.name, tensor.shape.length === 1 || firstRow + rows.count === tensor.shape[0])
      },
      options,
    )
  }
  return { weights: { ...weights, read }, asked }
}

describe('sessions', () => {
  it('have the same weights whatever the order of the files and the chunks that rows come in', async () => {
    const expected = new FakeRuntime()
    await load(expected)
    expect([...expected.made.keys()]).toEqual(HEAD_FIRST)
    // Every value was written: the tensors hold none that is not finite.
    for (const weights of expected.made.values()) expect(weights.every(Number.isFinite)).toBe(true)
    for (const chunkRows of [1, 5, 32, 1000]) {
      for (const files of [tensors, tensors.toReversed(), tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1))]) {
        const runtime = new FakeRuntime()
        await load(runtime, { weights: weightsOf(files, { chunkRows }) })
        expect(runtime.made).toEqual(expected.made)
      }
    }
  })

  it('are made as soon as the last of their tensors has come whole, the head first', async () => {
    for (const files of [tensors, tensors.toReversed()]) {
      const runtime = new FakeRuntime()
      const whole = new Set<string>()
      const { weights } = watched(weightsOf(files), (name, isWhole) => {
        if (isWhole) whole.add(name)
        const complete = [...sessionPlans(SMALL, { withDrafter: true })].filter(([, { places }]) =>
          places.every(({ tensor }) => whole.has(tensor)),
        )
        expect([...runtime.made.keys()].sort()).toEqual(complete.map(([session]) => session).sort())
      })
      await load(runtime, { weights })
      expect([...runtime.made.keys()][0]).toBe('head')
    }
  })

  it('of a drafter are made only where it is used, and its tensors are not asked for elsewhere', async () => {
    const runtime = new FakeRuntime()
    const { weights, asked } = watched(weightsOf(tensors), () => {})
    const model = await load(runtime, { weights, withDrafter: false })
    expect([...runtime.made.keys()]).toEqual(HEAD_FIRST.filter((name) => !name.startsWith('drafter')))
    const wanted = tensors.filter(({ part }) => part === 'model')
    expect(asked.toSorted()).toEqual(wanted.map(({ name }) => name).sort())
    await model.release()
    expect(runtime.released.sort()).toEqual([...runtime.made.keys()].sort())
  })
})

describe('host memory', () => {
  const numLayers = 24
  const spec: ModelSpec = { ...SMALL, numLayers, layers: Array.from({ length: numLayers }, () => at(SMALL.layers, 0)) }
  const deep = randomTensors(spec, 2)
  const byName = deep.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const places = [...sessionPlans(spec, { withDrafter: true })].map(([session, plan]) => ({
    session,
    tensors: new Set(plan.places.map(({ tensor }) => tensor)),
  }))
  /** The most sessions of which some weights have come and that are not made yet. */
  const mostOpen = async (files: readonly StoredTensor[]) => {
    const runtime = new FakeRuntime()
    const begun = new Set<string>()
    let most = 0
    const { weights } = watched(weightsOf(files), (name) => {
      begun.add(name)
      const open = places.filter(
        (each) => !runtime.made.has(each.session) && [...each.tensors].some((tensor) => begun.has(tensor)),
      )
      most = Math.max(most, open.length)
    })
    await load(runtime, { spec, weights })
    expect(runtime.made.size).toBe(places.length)
    return most
  }

  it('has few of many sessions open at once, whatever the order of the files', async () => {
    expect(await mostOpen(deep)).toBeLessThanOrEqual(2)
    expect(await mostOpen(deep.toReversed())).toBeLessThanOrEqual(2)
    expect(await mostOpen(byName)).toBeLessThanOrEqual(5)
    for (const seed of [1, 2, 3]) {
      expect(await mostOpen(shuffled(deep, seed))).toBeLessThanOrEqual(2)
    }
  })
})

describe('a load that fails', () => {
  const nothingLeft = ({ made, released }: FakeRuntime) => expect(released.sort()).toEqual([...made.keys()].sort())

  it.each(tensors.map(({ name }) => name))(
    'is an error where the weights lack %s, or one of its rows, and releases what was made',
    async (name) => {
      const { read, tensors: all } = weightsOf(tensors, { chunkRows: 8 })
      const without: ModelWeights[] = [
        weightsOf(tensors.filter((tensor) => tensor.name !== name)),
        {
          tensors: all,
          read: (wanted, sink, options) =>
            read(
              wanted,
              (tensor, firstRow, rows) => {
                const isLast = tensor.shape.length === 1 || firstRow + rows.count === tensor.shape[0]
                return tensor.name === name && isLast ? undefined : sink(tensor, firstRow, rows)
              },
              options,
            ),
        },
      ]
      for (const weights of without) {
        const runtime = new FakeRuntime()
        await expect(load(runtime, { weights })).rejects.toThrow('every row of every tensor')
        nothingLeft(runtime)
      }
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

  it('at an error of reading throws that one, and where host memory ran out OUT_OF_MEMORY', async () => {
    const failing = (thrown: Error): ModelWeights => {
      const { tensors: all, read } = weightsOf(tensors)
      return {
        tensors: all,
        read: (wanted, ...rest) => read(wanted.slice(0, -3), ...rest).then(() => Promise.reject(thrown)),
      }
    }
    const runtime = new FakeRuntime()
    const cut = failing(new WeirError('MODEL_FETCH', 'cut off'))
    expect(await errorOf(load(runtime, { weights: cut }))).toMatchObject({ code: 'MODEL_FETCH', message: 'cut off' })
    expect(runtime.made.size).toBeGreaterThan(3)
    nothingLeft(runtime)
    const noRoom = failing(new RangeError('Array buffer allocation failed'))
    expect((await errorOf(load(new FakeRuntime(), { weights: noRoom }))).code).toBe('OUT_OF_MEMORY')
  })

  it('by its signal is ABORTED before the next session is made', async () => {
    const runtime = new FakeRuntime()
    const abort = new AbortController()
    runtime.faults.set('middle0', () => abort.abort())
    expect((await errorOf(load(runtime, { signal: abort.signal }))).code).toBe('ABORTED')
    expect([...runtime.made.keys()].sort()).toEqual(['first', 'head', 'middle0'])
    nothingLeft(runtime)
  })
})

describe('queries, keys and values', () => {
  it('lie behind the norm before them, as one matrix, and their biases behind it in the same order', async () => {
    const stored = randomTensors(SMALL_MIMO, 9)
    const runtime = new FakeRuntime()
    await load(runtime, { spec: SMALL_MIMO, weights: weightsOf(stored) })
    const of = (role: string) => stored.find((each) => each.layer === 0 && each.part === 'model' && each.role === role)
    const roles = ['inputNorm', 'q', 'k', 'v', 'qBias', 'kBias', 'vBias']
    expect([...(runtime.made.get('first') ?? [])]).toEqual(roles.flatMap((role) => [...(of(role)?.exact ?? [])]))
  })
})
