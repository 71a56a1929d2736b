/**
 * Who is who: generations by the caller's id, their samples by the engine's, which are counted here. It must never know what
 * becomes of either.
 */

import { WeirError } from '../protocol/errors.ts'
import type { Usage } from '../protocol/request.ts'
import type { GenerationEnd } from '../protocol/service.ts'
import { assert } from '../util/math.ts'
import type { RequestText } from './requestText.ts'
import { type Sample, SampleGroup } from './sampleGroup.ts'

export class SampleDirectory {
  /** those with a sample that goes on, by the caller's id */
  readonly #groups = new Map<number, SampleGroup>()
  /** those that go on, by the engine's id */
  readonly #samples = new Map<number, Sample>()
  #nextEngineId = 0

  /**
   * Enters a generation of n samples.
   * @param text made for each of them
   * @throws INVALID_REQUEST when the id is in use
   */
  open(id: number, n: number, seed: number, text: () => RequestText | undefined): SampleGroup {
    if (this.#groups.has(id)) throw new WeirError('INVALID_REQUEST', `request id ${id} is in use`, { id })
    const samples = Array.from({ length: n }, (_, index) => ({
      id,
      index,
      engineId: this.#nextEngineId++,
      text: text(),
    }))
    const group = new SampleGroup(seed, samples)
    this.#groups.set(id, group)
    for (const sample of samples) this.#samples.set(sample.engineId, sample)
    return group
  }

  group(id: number): SampleGroup | undefined {
    return this.#groups.get(id)
  }

  sample(engineId: number): Sample | undefined {
    return this.#samples.get(engineId)
  }

  /** Strikes a sample out that came to its end. @returns what holds for all of its generation, with the last one */
  end(sample: Sample, usage: Usage): GenerationEnd | undefined {
    const group = this.#groups.get(sample.id)
    assert(group, `generation ${sample.id} goes on`)
    this.#samples.delete(sample.engineId)
    const end = group.end(sample, usage)
    if (end) this.#groups.delete(sample.id)
    return end
  }

  /** Strikes a whole generation out. @returns its samples */
  drop(id: number): readonly Sample[] {
    const { samples } = this.#groups.get(id) ?? { samples: [] }
    for (const { engineId } of samples) this.#samples.delete(engineId)
    this.#groups.delete(id)
    return samples
  }
}
