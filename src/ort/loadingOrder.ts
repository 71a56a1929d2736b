/** In which order tensors are read, so that each session is made as early as possible and few are open at once. */

import type { ModelTensor } from '../backend/backend.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { isKept } from './keptTensors.ts'
import type { SessionPlans } from './sessionPlans.ts'

/**
 * The tensors that a model needs, each once: what the host keeps, then what each session takes, and the head, which is also the
 * embedding of a tied model, first. Within a session they are in the order of the files.
 */
export function loadingOrder(
  spec: ModelSpec,
  plans: SessionPlans,
  tensors: readonly ModelTensor[],
  withDrafter: boolean,
): readonly ModelTensor[] {
  const heads = [...plans].filter(([name]) => name === 'head' || name === 'draftHead')
  const others = [...plans].filter(([name]) => name !== 'head' && name !== 'draftHead')
  const names = [...heads, ...others].map(([, { places }]) => new Set(places.map(({ tensor }) => tensor)))
  const wanted = tensors.filter(({ part }) => withDrafter || part === 'model')
  const ordered = [
    ...wanted.filter((tensor) => isKept(spec, tensor)),
    ...names.flatMap((each) => wanted.filter(({ name }) => each.has(name))),
  ]
  return [...new Set(ordered)]
}
