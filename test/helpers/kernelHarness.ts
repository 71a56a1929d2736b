/**
 * Runs one kernel once, alone: buffers from typed arrays, outputs poisoned beforehand, one dispatch, everything written read
 * back. Also the comparisons of kernel tests. It must never know what a kernel computes.
 */

import { expect } from 'vitest'
import { bindGroups, groupsOf, PipelineCache } from '../../src/gpu/kernel.ts'
import type { KernelVariant } from '../../src/kernels/variant.ts'
import { sharedGpu } from './gpuDevice.ts'

export { randomFloats, randomInts, seededRandom } from './random.ts'

export type Words = Float32Array | Uint32Array | Int32Array | Uint16Array | Uint8Array

/** The bits of a word that no kernel wrote: a NaN as f32, an absurd id as u32. */
export const POISON = 0xffc0dead

/** What a buffer held afterwards, as words of either type over the same bytes. */
export interface Written {
  readonly u32: Uint32Array
  readonly f32: Float32Array
}

/** The fields of `shaders/lib/pass.wgsl`. */
export interface PassFields {
  readonly rows: number
  readonly items?: number
  readonly draft?: number
  readonly merges?: number
}

/** The 16 bytes of the `pass` uniform. */
export function passWords(pass: PassFields): Uint32Array {
  return new Uint32Array([pass.rows, pass.items ?? 0, pass.draft ?? 0, pass.merges ?? 0])
}

/** A buffer's first contents, or its size in 32-bit words, all poison. */
export type BufferInit = Words | number

export interface KernelRun<Shape> {
  readonly variant: KernelVariant<Shape>
  readonly shape: Shape
  /** what `grid(shape, rows)` is asked for; by default the rows of `pass` */
  readonly gridRows?: number
  readonly pass: PassFields
  /** by binding name; `pass` is made here; names the kernel does not bind are ignored */
  readonly buffers: Readonly<Record<string, BufferInit>>
}

let pipelines: Promise<PipelineCache> | undefined

/** The pipelines of this process, compiled once each. */
export function sharedPipelines(): Promise<PipelineCache> {
  pipelines ??= sharedGpu().then(({ device }) => new PipelineCache(device))
  return pipelines
}

/** Runs the kernel once. Gives the contents of every buffer that it binds as `write`. */
export async function runKernel<Shape>(run: KernelRun<Shape>): Promise<Record<string, Written>> {
  const { device } = await sharedGpu()
  const { variant, shape } = run
  const compiled = await (await sharedPipelines()).compile(variant.kernel, variant.specialise(shape))
  const bindings = groupsOf(variant.kernel).flatMap((group) => Object.entries(group))
  const resources: Record<string, GPUBuffer> = {}
  for (const [name, access] of bindings) {
    const init = access === 'uniform' && name === 'pass' ? passWords(run.pass) : run.buffers[name]
    if (init === undefined) throw new Error(`kernel ${variant.kernel.name}: the test gives no buffer "${name}"`)
    resources[name] = createBuffer(device, name, init, access === 'uniform')
  }

  const encoder = device.createCommandEncoder()
  const pass = encoder.beginComputePass()
  pass.setPipeline(compiled.pipeline)
  bindGroups(device, compiled, resources).forEach((group, index) => {
    pass.setBindGroup(index, group)
  })
  pass.dispatchWorkgroups(...variant.grid(shape, run.gridRows ?? run.pass.rows))
  pass.end()
  const reads = bindings
    .filter(([, access]) => access === 'write')
    .map(([name]) => {
      const source = resources[name] as GPUBuffer
      const target = device.createBuffer({
        size: source.size,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      })
      encoder.copyBufferToBuffer(source, 0, target, 0, source.size)
      return { name, target }
    })
  device.queue.submit([encoder.finish()])

  const written: Record<string, Written> = {}
  for (const { name, target } of reads) {
    await target.mapAsync(GPUMapMode.READ)
    const bytes = target.getMappedRange().slice(0)
    target.destroy()
    written[name] = { u32: new Uint32Array(bytes), f32: new Float32Array(bytes) }
  }
  for (const buffer of Object.values(resources)) buffer.destroy()
  return written
}

/** Runs every variant on the same data, expects the same bits of all, and gives them. */
export async function runVariants<Shape>(
  variants: readonly KernelVariant<Shape>[],
  run: Omit<KernelRun<Shape>, 'variant'>,
): Promise<Record<string, Written>> {
  const [first, ...others] = variants
  if (!first) throw new Error('no variant to run')
  const expected = await runKernel({ ...run, variant: first })
  for (const variant of others) {
    const actual = await runKernel({ ...run, variant })
    for (const name of Object.keys(expected)) {
      expectSameBits(actual[name]?.u32, expected[name]?.u32, `${name} of ${variant.name} and ${first.name}`)
    }
  }
  return expected
}

function createBuffer(device: GPUDevice, label: string, init: BufferInit, uniform: boolean): GPUBuffer {
  const words = typeof init === 'number' ? new Uint32Array(init).fill(POISON) : init
  const size = Math.max(16, Math.ceil(words.byteLength / 4) * 4) // a vec4f binding has at least one element
  const usage =
    GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC | (uniform ? GPUBufferUsage.UNIFORM : GPUBufferUsage.STORAGE)
  const buffer = device.createBuffer({ label, size, usage, mappedAtCreation: true })
  new Uint8Array(buffer.getMappedRange()).set(new Uint8Array(words.buffer, words.byteOffset, words.byteLength))
  buffer.unmap()
  return buffer
}

/** Fails naming the first word that differs. */
export function expectSameBits(actual: Words | undefined, expected: Words | undefined, what = 'bits'): void {
  if (!actual || !expected) throw new Error(`${what}: nothing to compare`)
  const [a, b] = [bitsOf(actual), bitsOf(expected)]
  const at = firstDifference(a, b)
  if (at >= 0)
    expect.fail(`${what} differ first at ${at} of ${b.length}: ${a[at]?.toString(16)}, ${b[at]?.toString(16)}`)
}

/** Fails unless |actual - expected| <= absolute + relative·|expected| everywhere; a value that is not finite fails. */
export function expectAllClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { absolute = 1e-5, relative = 1e-5, what = 'values' } = {},
): void {
  expect(actual.length, `${what}: length`).toBe(expected.length)
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual[i] ?? Number.NaN, expected[i] ?? Number.NaN]
    if (!(Math.abs(a - b) <= absolute + relative * Math.abs(b))) {
      expect.fail(`${what} differ first at ${i} of ${expected.length}: ${a}, expected ${b}`)
    }
  }
}

/** Fails unless every word from `start` on (up to `end`) is still poison. */
export function expectPoison(written: Written | undefined, start: number, end?: number): void {
  const words = written?.u32.subarray(start, end)
  const at = words?.findIndex((word) => word !== POISON) ?? 0
  if (at >= 0) expect.fail(`word ${start + at} was written: ${words?.[at]?.toString(16)}`)
}

function bitsOf(array: Words): Uint8Array | Uint32Array {
  return array.byteOffset % 4 === 0 && array.byteLength % 4 === 0
    ? new Uint32Array(array.buffer, array.byteOffset, array.byteLength / 4)
    : new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}

function firstDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.max(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return i
  return -1
}
