/** A service over a scripted model, and everything it says. */

import { afterEach } from 'vitest'
import type { Prompt, SamplingFields } from '../../src/protocol/request.ts'
import type { EngineStats, Outcome, SampleUpdate, ServiceOptions, StepMessage } from '../../src/protocol/service.ts'
import { Service } from '../../src/worker/service.ts'
import { LAZY_MODULES } from './lazyModules.ts'
import { MODEL_URL, MockLoader, type Script } from './scriptedModel.ts'

export function unwrap<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value
  throw new Error(`${outcome.error.code}: ${outcome.error.message}`)
}

export class ServiceRig {
  readonly loader: MockLoader
  readonly service: Service
  readonly messages: StepMessage[] = []
  #wake: () => void = () => {}
  #nextId = 0

  constructor(script: Script) {
    this.loader = new MockLoader(script)
    this.service = new Service(this.loader, () => performance.now(), LAZY_MODULES.replay)
  }

  async load(options: ServiceOptions = {}, modelUrl = MODEL_URL): Promise<this> {
    const step = (message: StepMessage) => {
      this.messages.push(structuredClone(message))
      this.#wake()
    }
    unwrap(await this.service.load(modelUrl, options, { progress: () => {}, step }))
    return this
  }

  submit(prompt: Prompt, fields: SamplingFields = {}): Promise<Outcome<null>> {
    return this.service.submit(this.#nextId++, prompt, fields)
  }

  updates(id: number): SampleUpdate[] {
    return this.messages.flatMap(({ updates }) => updates.filter((update) => update.id === id))
  }

  /** Settles once `count` requests have ended, with all their samples. */
  async ended(count: number): Promise<void> {
    const ends = () => this.messages.flatMap(({ updates }) => updates.filter(({ end, error }) => end || error)).length
    while (ends() < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** Of a request for one sample. */
  async answer(prompt: Prompt, fields: SamplingFields = {}) {
    const id = this.#nextId
    unwrap(await this.submit(prompt, fields))
    await this.ended(id + 1)
    const updates = this.updates(id)
    const { finish_reason, debug, end, error } = updates.at(-1) ?? {}
    return {
      text: updates.map(({ text }) => text).join(''),
      ids: updates.flatMap(({ token_ids }) => token_ids),
      finish_reason,
      debug,
      end,
      error,
    }
  }

  async stats(): Promise<EngineStats> {
    return unwrap(await this.service.stats())
  }
}

const rigs: ServiceRig[] = []
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.service.dispose()
})

/** A loaded service, disposed of after the test. */
export async function serve(script: Script, options: ServiceOptions = {}, modelUrl = MODEL_URL): Promise<ServiceRig> {
  const rig = await new ServiceRig(script).load(options, modelUrl)
  rigs.push(rig)
  return rig
}
