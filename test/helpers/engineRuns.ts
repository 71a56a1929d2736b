/** Random workloads through the whole engine over the mock runner, and what became of them. */

import type { DraftingParts } from '../../src/core/speculation/speculation.ts'
import type { EngineRequestEnd } from '../../src/engine/engineTypes.ts'
import { CACHED_BLOCK, FREE_BLOCK } from '../../src/protocol/blockMap.ts'
import { EngineRig, newRequest } from './coreFixtures.ts'
import type { MockRunnerOptions } from './mockRunner.ts'
import type { Workload } from './workloads.ts'

/** Steps until all requests have come and gone, at most `maxSteps`. `beforeStep` gets the number of steps so far. */
export async function runWorkload(
  workload: Workload,
  maxSteps: number,
  mock: MockRunnerOptions = {},
  beforeStep: (rig: EngineRig, step: number) => void = () => {},
  drafting: DraftingParts = {},
): Promise<EngineRig> {
  const rig = new EngineRig(workload.options, { rightInEight: workload.rightInEight, ...mock }, {}, drafting)
  const last = Math.max(...workload.arrivals.map(({ step }) => step))
  for (let step = 0; step <= last || rig.engine.hasWork(); step++) {
    if (step > maxSteps) throw new Error(`unfinished after ${maxSteps} steps`)
    workload.arrivals.forEach(({ step: when, maxTokens, ...request }, id) => {
      if (when === step) rig.engine.add(newRequest(id, request.promptTokenIds.length, maxTokens, request))
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

/** Blocks that somebody holds. */
export function ownedBlocks(rig: EngineRig): number {
  return rig.engine.stats().blockOwners.filter((owner) => owner !== FREE_BLOCK && owner !== CACHED_BLOCK).length
}
