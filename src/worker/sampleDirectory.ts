/**
 * Maps the caller's request ids to sample groups and the engine's request ids, which are assigned here, to samples. It must
 * never know what a request does.
 */

import { WeirError } from '../protocol/errors.ts'
import type { Usage } from '../protocol/request.ts'
import type { GenerationEnd } from '../protocol/service.ts'
import { assert } from '../util/math.ts'
import type { RequestText } from './requestText.ts'
import { type Sample, SampleGroup } from './sampleGroup.ts'

export class SampleDirectory {
  /** groups with an unfinished sample, by the caller's id */
  readonly #groups = new Map<number, SampleGroup>()
  /** unfinished samples, by the engine's id */
  readonly #samples = new Map<number, Sample>()
  #nextEngineId = 0

  /**
   * Adds a generation of n samples.
   * @param text makes the detokenizer of one sample
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

  /** Removes a finished sample. @returns the end of its generation, with the last sample */
  end(sample: Sample, usage: Usage): GenerationEnd | undefined {
    const group = this.#groups.get(sample.id)
    assert(group, `generation ${sample.id} is unfinished`)
    this.#samples.delete(sample.engineId)
    const end = group.end(sample, usage)
    if (end) this.#groups.delete(sample.id)
    return end
  }

  /** Removes a whole generation. @returns its samples */
  drop(id: number): readonly Sample[] {
    const { samples } = this.#groups.get(id) ?? { samples: [] }
    for (const { engineId } of samples) this.#samples.delete(engineId)
    this.#groups.delete(id)
    return samples
  }
}
