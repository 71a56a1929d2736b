/**
 * Measures the GPU time of the passes of a command buffer with timestamp queries, on devices that have them. It must
 * never know what a pass computes.
 *
 * A timestamp is written at the begin of the first pass and at the end of each. A driver may begin a pass before the
 * previous one has ended, so a pass is timed from the end of the previous one: the times do not overlap, and they add up.
 *
 * One query set serves all steps in flight: a command buffer writes its timestamps, resolves them and copies them to its
 * own readback buffer, and the queue runs command buffers in order, so no step overwrites timestamps that another has yet
 * to copy.
 */

import { at } from '../util/math.ts'
import type { Arena, BufferPlan } from './arena.ts'
import type { Gpu } from './device.ts'
import type { ReadbackSource } from './readback.ts'

const FEATURE = 'timestamp-query'
const BUFFER = 'timestamps'
/** a timestamp is a 64-bit count of nanoseconds */
const MARK_BYTES = 8
const MARK_WORDS = MARK_BYTES / 4

/**
 * The buffer for the timestamps of `passes`. Planned for every device, because a plan is made before the device is known.
 */
export function timestampPlan(passes: number): BufferPlan {
  return { name: BUFFER, bytes: timestampBytes(passes), use: 'timestamps' }
}

/** Bytes that the timestamps of `passes` add to a readback. */
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

  /**
   * @returns undefined where the device has no timestamps or creating the query set fails (some drivers have few queries)
   */
  static async open({ device }: Gpu, arena: Arena): Promise<PassTimer | undefined> {
    if (!device.features.has(FEATURE)) return undefined
    const marks = arena.buffer(BUFFER)
    const filters = ['validation', 'out-of-memory', 'internal'] as const
    for (const filter of filters) device.pushErrorScope(filter)
    const queries = createMarks(device, marks.size / MARK_BYTES)
    const errors = await Promise.all(filters.map(() => device.popErrorScope()))
    return !queries || errors.some((error) => error !== null) ? undefined : new PassTimer(queries, marks)
  }

  /** The descriptor of the pass with this index, in order of encoding. */
  descriptor(pass: number): GPUComputePassDescriptor {
    const end = { querySet: this.#queries, endOfPassWriteIndex: pass + 1 }
    return { timestampWrites: pass === 0 ? { ...end, beginningOfPassWriteIndex: 0 } : end }
  }

  /** Resolves the timestamps of the first `passes` passes. @returns what the readback must copy */
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
 * Nanoseconds of each pass; 0 where the clock's resolution was too coarse.
 * @param words of the timestamps, low word first
 * @returns undefined where there are none, or the driver left them unwritten or out of order
 */
export function passTimes(words: Uint32Array): number[] | undefined {
  const times: number[] = []
  if (isUnwritten(words, 0)) return undefined
  for (let mark = MARK_WORDS; mark < words.length; mark += MARK_WORDS) {
    // High words are subtracted first, so that the difference stays exact in float64.
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
