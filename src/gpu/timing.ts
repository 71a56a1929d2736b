/**
 * The time that the passes of a command buffer take on the GPU, by timestamp queries, on devices that have them. It must never
 * know what a pass computes.
 *
 * A mark is written where the first pass begins and where each pass ends. To a driver a pass may begin before the one before it
 * has ended, so a pass is timed from the end of the one before: the times are never of the same moment, and they add up.
 *
 * One set of marks serves all steps, however many are in flight. A command buffer writes its marks, resolves them and copies them
 * into its own readback; a queue runs command buffers in order; so no step can overwrite marks that another has yet to copy.
 */

import { at } from '../util/math.ts'
import type { Arena, BufferPlan } from './arena.ts'
import type { Gpu } from './device.ts'
import type { ReadbackSource } from './readback.ts'

const FEATURE = 'timestamp-query'
const BUFFER = 'timestamps'
/** a mark is a 64-bit count of nanoseconds */
const MARK_BYTES = 8
const MARK_WORDS = MARK_BYTES / 4

/** The buffer for the marks of `passes`. It is planned for every device: a plan is made before the device is known. */
export function timestampPlan(passes: number): BufferPlan {
  return { name: BUFFER, bytes: timestampBytes(passes), use: 'timestamps' }
}

/** What the marks of `passes` add to an answer. */
export function timestampBytes(passes: number): number {
  return (passes + 1) * MARK_BYTES
}

export class PassTimer {
  readonly #queries: GPUQuerySet
  readonly #marks: GPUBuffer

  private constructor(queries: GPUQuerySet, marks: GPUBuffer) {
    this.#queries = queries
    this.#marks = marks
  }

  /** @returns undefined where the device has no timestamps, or no room for these: some drivers have few */
  static async open({ device }: Gpu, arena: Arena): Promise<PassTimer | undefined> {
    if (!device.features.has(FEATURE)) return undefined
    const marks = arena.buffer(BUFFER)
    const filters = ['validation', 'out-of-memory', 'internal'] as const
    for (const filter of filters) device.pushErrorScope(filter)
    const queries = createMarks(device, marks.size / MARK_BYTES)
    const errors = await Promise.all(filters.map(() => device.popErrorScope()))
    return !queries || errors.some((error) => error !== null) ? undefined : new PassTimer(queries, marks)
  }

  /** How the pass of this index, in the order of encoding, is begun so that it is timed. */
  descriptor(pass: number): GPUComputePassDescriptor {
    const end = { querySet: this.#queries, endOfPassWriteIndex: pass + 1 }
    return { timestampWrites: pass === 0 ? { ...end, beginningOfPassWriteIndex: 0 } : end }
  }

  /** Encodes, after the first `passes` passes, what brings their marks to where the answer copies them from. */
  resolve(encoder: GPUCommandEncoder, passes: number): ReadbackSource {
    encoder.resolveQuerySet(this.#queries, 0, passes + 1, this.#marks, 0)
    return { buffer: this.#marks, bytes: timestampBytes(passes) }
  }

  dispose(): void {
    this.#queries.destroy()
  }
}

/** @returns undefined where the browser throws instead of raising an error */
function createMarks(device: GPUDevice, count: number): GPUQuerySet | undefined {
  try {
    return device.createQuerySet({ label: BUFFER, type: 'timestamp', count })
  } catch {
    return undefined
  }
}

/**
 * Nanoseconds of each pass; 0 where the clock was too coarse to see it.
 * @param words of the marks, low word first
 * @returns undefined where there are no marks, or a driver wrote none, or wrote them out of order
 */
export function passTimes(words: Uint32Array): number[] | undefined {
  const times: number[] = []
  if (isUnwritten(words, 0)) return undefined
  for (let mark = MARK_WORDS; mark < words.length; mark += MARK_WORDS) {
    // The high words first, so that no digit of the difference is lost.
    const high = at(words, mark + 1) - at(words, mark - 1)
    const time = high * 2 ** 32 + (at(words, mark) - at(words, mark - MARK_WORDS))
    if (time < 0 || isUnwritten(words, mark)) return undefined
    times.push(time)
  }
  return times
}

function isUnwritten(words: Uint32Array, mark: number): boolean {
  return !words[mark] && !words[mark + 1]
}
