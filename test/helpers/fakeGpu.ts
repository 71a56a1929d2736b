/**
 * A WebGPU device without a GPU: buffers, copies and timestamps are real, dispatches are only counted. As strict as a validating
 * one about what this engine could get wrong there: usages, ranges, features, what is mapped. It must never know a kernel.
 */

import { type Gpu, type GpuOwner, openDevice } from '../../src/gpu/device.ts'
import { assert } from '../../src/util/math.ts'

const USAGE = { mapRead: 0x01, copySource: 0x04, copyTarget: 0x08, queryResolve: 0x200 } as const

/** One compute pass that ran. */
export interface FakePass {
  readonly timed: boolean
  readonly dispatches: number
}

export interface FakeGpuOptions {
  readonly timestamps: boolean
  /** nanoseconds, read for each mark in the order in which the GPU writes them; by default each is 1 µs after the one before */
  readonly clock?: () => bigint
  /** `createQuerySet` is refused */
  readonly noQueries?: boolean
  /** `createQuerySet` throws */
  readonly throwsQueries?: boolean
}

class FakeBuffer {
  readonly bytes: Uint8Array
  readonly usage: number
  mapped = false

  constructor(size: number, usage: number) {
    assert(size % 4 === 0, 'a buffer of whole words')
    this.bytes = new Uint8Array(size)
    this.usage = usage
  }

  get size(): number {
    return this.bytes.length
  }

  async mapAsync(_mode: number, offset: number, size: number): Promise<void> {
    assert(this.usage & USAGE.mapRead && !this.mapped, 'a readback that is not mapped')
    this.range(offset, size)
    this.mapped = true
  }

  getMappedRange(offset: number, size: number): ArrayBuffer {
    assert(this.mapped, 'what is read is mapped')
    return this.range(offset, size).slice().buffer as ArrayBuffer
  }

  unmap(): void {
    this.mapped = false
  }

  destroy(): void {}

  range(offset: number, size: number): Uint8Array {
    assert(offset % 4 === 0 && size % 4 === 0 && offset + size <= this.size, `${offset} + ${size} within ${this.size}`)
    return this.bytes.subarray(offset, offset + size)
  }
}

class FakeQuerySet {
  readonly marks: BigUint64Array
  destroyed = false

  constructor(count: number) {
    this.marks = new BigUint64Array(count)
  }

  get count(): number {
    return this.marks.length
  }

  destroy(): void {
    this.destroyed = true
  }
}

interface TimestampWrites {
  readonly querySet: FakeQuerySet
  readonly beginningOfPassWriteIndex?: number
  readonly endOfPassWriteIndex?: number
}

export class FakeGpu {
  /** passes that ran, by submit */
  readonly submits: FakePass[][] = []
  readonly querySets: FakeQuerySet[] = []
  readonly #options: FakeGpuOptions
  #time = 1000n

  constructor(options: FakeGpuOptions) {
    this.#options = options
  }

  /** A device of it, opened as the engine does. */
  open(): Promise<Gpu> {
    return openDevice(ownerOf(async () => this.adapter()))
  }

  /** What `requestAdapter` gives. */
  adapter() {
    const features = new Set(this.#options.timestamps ? ['timestamp-query', 'shader-f16'] : ['shader-f16'])
    const limits = new Proxy({}, { get: () => 2 ** 28 })
    return {
      features,
      limits,
      info: { vendor: 'fake', architecture: '', description: '', isFallbackAdapter: false },
      requestDevice: async ({ requiredFeatures = [] }: { requiredFeatures?: readonly string[] }) => {
        for (const name of requiredFeatures) assert(features.has(name), `the adapter has ${name}`)
        return this.#device(new Set(requiredFeatures), limits)
      },
    }
  }

  #device(features: ReadonlySet<string>, limits: object): object {
    let refused = false
    const queue = {
      writeBuffer: (buffer: FakeBuffer, offset: number, data: ArrayBufferView) => {
        buffer.range(offset, data.byteLength).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
      },
      submit: ([run]: readonly (() => void)[]) => {
        this.submits.push([])
        run?.()
      },
      onSubmittedWorkDone: async () => {},
    }
    return inherited({
      features,
      limits,
      lost: new Promise(() => {}),
      addEventListener: () => {},
      removeEventListener: () => {},
      pushErrorScope: () => {},
      popErrorScope: async () => {
        const error = refused ? { message: 'no more queries' } : null
        refused = false
        return error
      },
      createBuffer: ({ size, usage }: { size: number; usage: number }) => new FakeBuffer(size, usage),
      createQuerySet: ({ type, count }: { type: string; count: number }) => {
        assert(type === 'timestamp' && features.has('timestamp-query'), 'the device was asked for timestamps')
        if (this.#options.throwsQueries) throw new TypeError('no timestamp queries here')
        refused = this.#options.noQueries ?? false
        const set = new FakeQuerySet(count)
        this.querySets.push(set)
        return set
      },
      createShaderModule: () => ({ getCompilationInfo: async () => ({ messages: [] }) }),
      createBindGroupLayout: () => ({}),
      createPipelineLayout: () => ({}),
      createBindGroup: () => ({}),
      createComputePipelineAsync: async () => ({}),
      createCommandEncoder: () => this.#encoder(),
      queue: inherited(queue),
    })
  }

  /** What it encodes happens at submit. */
  #encoder(): object {
    const commands: (() => void)[] = []
    return {
      clearBuffer: () => {},
      beginComputePass: ({ timestampWrites }: { timestampWrites?: TimestampWrites } = {}) => {
        if (timestampWrites) checkWrites(timestampWrites)
        const pass = { timed: timestampWrites !== undefined, dispatches: 0 }
        commands.push(() => {
          this.submits.at(-1)?.push(pass)
          this.#mark(timestampWrites, timestampWrites?.beginningOfPassWriteIndex)
          this.#mark(timestampWrites, timestampWrites?.endOfPassWriteIndex)
        })
        return {
          setPipeline: () => {},
          setBindGroup: () => {},
          dispatchWorkgroups: () => pass.dispatches++,
          end: () => {},
        }
      },
      resolveQuerySet: (set: FakeQuerySet, first: number, count: number, target: FakeBuffer, offset: number) => {
        assert(target.usage & USAGE.queryResolve && offset % 256 === 0, 'queries resolve where they may')
        const marks = target.range(offset, count * 8)
        commands.push(() => marks.set(new Uint8Array(set.marks.buffer, first * 8, count * 8)))
      },
      copyBufferToBuffer: (source: FakeBuffer, from: number, target: FakeBuffer, to: number, size: number) => {
        assert(source.usage & USAGE.copySource && target.usage & USAGE.copyTarget, 'copies go where they may')
        const [read, written] = [source.range(from, size), target.range(to, size)]
        commands.push(() => {
          assert(!target.mapped, 'a mapped buffer is in no command')
          written.set(read)
        })
      },
      finish: () => () => {
        for (const command of commands) command()
      },
    }
  }

  #mark(writes: TimestampWrites | undefined, index: number | undefined): void {
    if (!writes || index === undefined) return
    this.#time += 1000n
    writes.querySet.marks[index] = this.#options.clock?.() ?? this.#time
  }
}

/** A navigator whose WebGPU answers `requestAdapter` so. */
export function ownerOf(requestAdapter: () => unknown): GpuOwner {
  return { gpu: { requestAdapter } as unknown as GPU }
}

/** An object whose members are not its own, as those of a real device: who counts calls puts own ones before them. */
function inherited(members: object): object {
  return Object.create(members)
}

function checkWrites({ querySet, beginningOfPassWriteIndex: begin, endOfPassWriteIndex: end }: TimestampWrites): void {
  assert(!querySet.destroyed, 'the query set lives')
  assert(begin !== undefined || end !== undefined, 'a timed pass writes a mark')
  assert(begin !== end, 'two marks of a pass differ')
  for (const index of [begin, end]) assert(index === undefined || index < querySet.count, `mark ${index} is in the set`)
}
