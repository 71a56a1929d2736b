/** Workloads with shared prefixes through the whole engine over the mock runner, and what they must say. */

import { EngineRig, newRequest } from './coreFixtures.ts'
import { generateAlone } from './mockModel.ts'
import { mostSteps, type PrefixWorkload, STEPS } from './prefixWorkloads.ts'

/** What request `id` says when it runs alone and to its end. */
export function saidAlone({ options, arrivals }: PrefixWorkload, id: number): number[] {
  const arrival = arrivals[id]
  if (!arrival) throw new Error(`no request ${id}`)
  const { promptTokenIds, maxTokens, sampling } = arrival
  return generateAlone(promptTokenIds, Math.min(maxTokens, options.maxModelLen - promptTokenIds.length), sampling)
}

/** Steps until all requests have come and gone. Of eight drafts, `2 * right` are right. */
export async function runPrefixes(
  workload: PrefixWorkload,
  beforeStep: (rig: EngineRig, step: number) => void = () => {},
): Promise<EngineRig> {
  const { options, arrivals, right } = workload
  const rig = new EngineRig(options, { rightInEight: 2 * right })
  const most = mostSteps(workload)
  for (let step = 0; step <= STEPS || rig.engine.hasWork(); step++) {
    if (step > most) throw new Error(`unfinished after ${most} steps`)
    for (const [id, arrival] of arrivals.entries()) {
      if (arrival.step !== step) continue
      const priority = options.schedulingPolicy === 'priority' ? arrival.priority : 0
      const { promptTokenIds, maxTokens, cacheSalt, sampling } = arrival
      rig.engine.add(newRequest(id, 0, maxTokens, { promptTokenIds, priority, cacheSalt, sampling }))
    }
    beforeStep(rig, step)
    await rig.engine.step()
    rig.engine.checkIntegrity()
  }
  return rig
}
