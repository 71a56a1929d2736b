/** In which order tensors are read: as they stand in the files, unless too many sessions would be open at once. */

import type { ModelTensor } from '../backend/backend.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { isKept } from './keptTensors.ts'
import type { SessionName, SessionPlans } from './sessionPlans.ts'

/**
 * Sessions that may have some of their weights at once. Where files have their tensors by name, layer 10 comes before layer 2, and
 * models of up to 100 layers have five sessions open at once.
 */
export const MOST_OPEN_SESSIONS = 8

/**
 * The tensors that a model needs, each once. The embedding matrix and the heads, which are the largest, come first: then ONNX Runtime
 * has the weights of a head twice, as it does while it makes a session, when it has no others. The rest is in the order of the files,
 * which one request fetches. If that leaves more than MOST_OPEN_SESSIONS sessions open, as with files in the order of a hash table, it
 * is session by session, after what the host keeps.
 */
export function loadingOrder(
  spec: ModelSpec,
  plans: SessionPlans,
  tensors: readonly ModelTensor[],
  withDrafter: boolean,
): readonly ModelTensor[] {
  const sessions = [...plans].map(([name, { places }]) => ({
    name,
    takes: new Set(places.map(({ tensor }) => tensor)),
  }))
  const heads = sessions.filter(({ name }) => isHead(name))
  const kept = tensors.filter((tensor) => isKept(spec, tensor) && (withDrafter || tensor.part === 'model'))
  const needed = new Set([...kept.map(({ name }) => name), ...sessions.flatMap(({ takes }) => [...takes])])
  const isFirst = ({ role, name }: ModelTensor) => role === 'embed' || heads.some(({ takes }) => takes.has(name))
  const first = tensors.filter((tensor) => needed.has(tensor.name) && isFirst(tensor))
  const rest = tensors.filter((tensor) => needed.has(tensor.name) && !isFirst(tensor))
  const inFileOrder = [...first, ...rest]
  if (mostOpen(plans, inFileOrder) <= MOST_OPEN_SESSIONS) return inFileOrder
  const bySession = sessions.flatMap(({ takes }) => rest.filter(({ name }) => takes.has(name)))
  return [...new Set([...first, ...kept, ...bySession])]
}

function isHead(name: SessionName): boolean {
  return name === 'head' || name === 'draftHead'
}

/** The most sessions that have some of their weights but not all, if tensors come in this order. */
function mostOpen(plans: SessionPlans, order: readonly ModelTensor[]): number {
  const takers = new Map<string, SessionName[]>()
  for (const [name, { places }] of plans) {
    for (const { tensor } of places) takers.set(tensor, [...(takers.get(tensor) ?? []), name])
  }
  const missing = new Map<SessionName, number>() // places, of the open ones
  let most = 0
  for (const tensor of order) {
    for (const name of takers.get(tensor.name) ?? []) {
      const left = (missing.get(name) ?? plans.get(name)?.places.length ?? 0) - 1
      missing.set(name, left)
      most = Math.max(most, missing.size)
      if (left === 0) missing.delete(name)
    }
  }
  return most
}
