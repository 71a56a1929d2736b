/**
 * Loads the dense half of a model from its weights. The embedding matrix stays in host memory, the weights of each head's QK-norm are
 * handed to attention, and everything else becomes sessions, one after another, so that host memory holds the weights of few.
 */

import type { ModelWeights, ReadOptions } from '../backend/backend.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { WeirError } from '../protocol/errors.ts'
import { assert } from '../util/math.ts'
import { DenseModel } from './denseModel.ts'
import { ortError } from './faults.ts'
import { KeptTensors } from './keptTensors.ts'
import { loadingOrder } from './loadingOrder.ts'
import type { CreateSession } from './session.ts'
import { SessionLoader } from './sessionLoader.ts'
import { type ModelUse, sessionPlans } from './sessionPlans.ts'

export interface DenseSource extends ModelUse, ReadOptions {
  readonly spec: ModelSpec
  readonly weights: ModelWeights
  readonly createSession: CreateSession
}

/** @throws OUT_OF_MEMORY, ABORTED, and what reading the weights throws; every session is released then */
export async function loadDense(from: DenseSource): Promise<DenseModel> {
  const { spec, weights, signal, onProgress } = from
  const plans = sessionPlans(spec, from)
  const loader = new SessionLoader(plans, from.createSession)
  const kept = new KeptTensors(spec)
  const stopIfAborted = () => {
    if (signal?.aborted) throw new WeirError('ABORTED', 'the load was aborted by its signal')
  }
  try {
    const tensors = loadingOrder(spec, plans, weights.tensors, from.withDrafter)
    await weights.read(
      tensors,
      async (tensor, firstRow, rows) => {
        kept.add(tensor, firstRow, rows)
        await loader.add(tensor.name, firstRow, rows, stopIfAborted)
      },
      { signal, onProgress },
    )
    stopIfAborted()
    const { embeddings, headNorms, drafterHeadNorms } = kept
    const normed = spec.qkNorm !== 'head' || (headNorms && (drafterHeadNorms || !from.withDrafter))
    assert(loader.complete && embeddings && normed, 'every row of every tensor was delivered')
    return new DenseModel({ spec, sessions: loader.sessions, embeddings, headNorms, drafterHeadNorms })
  } catch (thrown) {
    await Promise.allSettled([...loader.sessions.values()].map((session) => session.release()))
    // Sizes were checked, so a RangeError means that host memory ran out.
    throw thrown instanceof RangeError ? ortError(thrown, 'hold a tensor of the weights') : thrown
  }
}
