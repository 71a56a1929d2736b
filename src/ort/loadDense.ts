/**
 * Loads the dense half of a model from its weights. The embedding matrix stays in host memory, the weights of each head's QK-norm are
 * handed to attention, and everything else becomes sessions.
 */

import type { WeightStream } from '../backend/backend.ts'
import { checkTensors } from '../models/checkTensors.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { WeirError } from '../protocol/errors.ts'
import type { LoadProgress } from '../protocol/options.ts'
import { WEIGHT_DTYPES } from '../weights/decode.ts'
import { DenseModel } from './denseModel.ts'
import { ortError } from './faults.ts'
import { KeptTensors } from './keptTensors.ts'
import type { CreateSession } from './session.ts'
import { SessionLoader } from './sessionLoader.ts'
import { type ModelUse, sessionPlans } from './sessionPlans.ts'

export interface DenseSource extends ModelUse {
  readonly spec: ModelSpec
  readonly weights: WeightStream
  readonly createSession: CreateSession
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: Omit<LoadProgress, 'phase'>) => void) | undefined
}

/**
 * @throws MODEL_FORMAT (the header is not what config.json says, a tensor did not come), OUT_OF_MEMORY, ABORTED, and what the
 * stream throws; every session is released then
 */
export async function loadDense(from: DenseSource): Promise<DenseModel> {
  const { spec, weights, signal, onProgress } = from
  const checked = new Map(checkTensors(spec, weights.tensors).map((tensor) => [tensor.name, tensor]))
  const loader = new SessionLoader(sessionPlans(spec, from), from.createSession)
  const kept = new KeptTensors(spec)
  const stopIfAborted = () => {
    if (signal?.aborted) throw new WeirError('ABORTED', 'the load was aborted by its signal')
  }
  try {
    const add = async ({ name }: { readonly name: string }, data: Uint8Array): Promise<void> => {
      const tensor = checked.get(name)
      if (!tensor) return
      kept.add(tensor, data)
      await loader.add(name, data, WEIGHT_DTYPES[tensor.dtype], stopIfAborted)
    }
    await weights.stream(add, { signal, onProgress: (progress) => onProgress?.(progress) })
    stopIfAborted()
    const embeddings = kept.embeddings
    if (!loader.complete || !embeddings || !kept.complete(from.withDrafter)) {
      throw new WeirError('MODEL_FORMAT', 'weights: the files ended before every tensor was read')
    }
    const { headNorms, drafterHeadNorms } = kept
    return new DenseModel({ spec, sessions: loader.sessions, embeddings, headNorms, drafterHeadNorms })
  } catch (thrown) {
    await Promise.allSettled([...loader.sessions.values()].map((session) => session.release()))
    // Sizes were checked, so a RangeError means that host memory ran out.
    throw thrown instanceof RangeError ? ortError(thrown, 'hold a tensor of the weights') : thrown
  }
}
