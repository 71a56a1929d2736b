/** Random workloads through the whole engine over the mock runner, and what they must say. */

import type { EngineRequestEnd } from '../../src/engine/engineTypes.ts'
import { EngineRig, newRequest, promptOf } from './coreFixtures.ts'
import { generateAlone } from './mockModel.ts'
import type { MockRunnerOptions } from './mockRunner.ts'
import type { Workload } from './workloads.ts'

/** What request `id` of a workload says when it runs alone and to its end. */
export function expectedOutput({ options, arrivals }: Workload, id: number): number[] {
  const arrival = arrivals[id]
  if (!arrival) throw new Error(`no request ${id}`)
  const { promptLength, maxTokens, sampling } = arrival
  return generateAlone(promptOf(promptLength, id), Math.min(maxTokens, options.maxModelLen - promptLength), sampling)
}

/** Steps until all requests have come and gone, at most `maxSteps`. `beforeStep` gets the number of steps so far. */
export async function runWorkload(
  workload: Workload,
  maxSteps: number,
  mock: MockRunnerOptions = {},
  beforeStep: (rig: EngineRig, step: number) => void = () => {},
): Promise<EngineRig> {
  const rig = new EngineRig(workload.options, { rightInEight: workload.rightInEight, ...mock })
  const last = Math.max(...workload.arrivals.map(({ step }) => step))
  for (let step = 0; step <= last || rig.engine.hasWork(); step++) {
    if (step > maxSteps) throw new Error(`unfinished after ${maxSteps} steps`)
    workload.arrivals.forEach((arrival, id) => {
      const { promptLength, maxTokens, sampling } = arrival
      if (arrival.step === step) rig.engine.add(newRequest(id, promptLength, maxTokens, { sampling }))
    })
    beforeStep(rig, step)
    await rig.engine.step()
    rig.engine.checkIntegrity()
  }
  return rig
}

export function endOf(rig: EngineRig, id: number): EngineRequestEnd {
  const end = rig.ends.get(id)
  if (!end) throw new Error(`request ${id} has not ended`)
  return end
}

/** Blocks that somebody owns. */
export function ownedBlocks(rig: EngineRig): number {
  return rig.engine.stats().blockOwners.filter((owner) => owner >= 0).length
}
