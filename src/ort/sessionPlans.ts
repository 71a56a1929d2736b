/**
 * The dense half of a model as sessions, cut where attention stands between them:
 *
 *     first            norm, qkv
 *     middle 0…L-2     o + residual, norm, MLP + residual, next block's norm and qkv
 *     last             o + residual, norm, MLP + residual, final norm
 *     head             logits
 *     drafterInput     norms, concatenation, fc, norm, qkv
 *     drafterOutput    o + residual, norm, MLP + residual, drafter's norm
 *     draftHead        logits over a reduced draft vocabulary; without one, `head` serves the drafter too
 *
 * The head is a session of its own, so that target and drafter share its weights and that it is made as soon as its matrix,
 * which comes first in most files, is read. It must never know where weights come from or how a session runs.
 */

import type { ModelSpec } from '../models/modelSpec.ts'
import { type WeightRole, type WeightTensor, weightPlan } from '../models/weightNames.ts'
import type { Quantization } from '../protocol/engineOptions.ts'
import { assert } from '../util/math.ts'
import { GraphBuilder, type SessionPlan } from './graphBuilder.ts'

export type SessionName = 'first' | `middle${number}` | 'last' | 'head' | 'drafterInput' | 'drafterOutput' | 'draftHead'

/** What an engine asks of a model. */
export interface ModelUse {
  readonly withDrafter: boolean
  /** token ids that drafts are limited to, ascending; undefined: all */
  readonly draftVocab?: readonly number[] | undefined
  /** of all matrices; default 'none' */
  readonly quantization?: Quantization | undefined
}

/** The tensors of one block, or those of a part outside its blocks. */
type Tensors = (role: WeightRole) => WeightTensor

/** The sessions that a model needs. */
export function sessionPlans(spec: ModelSpec, use: ModelUse): Map<SessionName, SessionPlan> {
  const tensors = tensorsOf(spec)
  const model = tensors('model', undefined)
  const block = (layer: number) => tensors('model', layer)
  const graph = () => new GraphBuilder(spec.rmsNormEps, use.quantization ?? 'none')
  const plans = new Map<SessionName, SessionPlan>()
  plans.set('first', first(graph(), spec, block(0)))
  for (let layer = 0; layer < spec.numLayers - 1; layer++) {
    plans.set(`middle${layer}`, middle(graph(), spec, block(layer), block(layer + 1)))
  }
  plans.set('last', last(graph(), spec, block(spec.numLayers - 1), model('finalNorm')))
  const headTensor = model(spec.tiedEmbeddings ? 'embed' : 'lmHead')
  plans.set('head', head(graph(), spec, headTensor))
  if (use.withDrafter) {
    const drafter = tensors('mtp', undefined)
    plans.set('drafterInput', drafterInput(graph(), spec, drafter, tensors('mtp', 0)))
    plans.set('drafterOutput', last(graph(), spec, tensors('mtp', 0), drafter('finalNorm')))
    if (use.draftVocab) plans.set('draftHead', head(graph(), spec, headTensor, use.draftVocab))
  }
  return plans
}

/** x → qkv */
function first(graph: GraphBuilder, spec: ModelSpec, block: Tensors): SessionPlan {
  const x = graph.input('x', spec.hiddenSize)
  qkv(graph, spec, block, graph.norm(x, block('inputNorm')))
  return graph.build()
}

/** attention, x → sum, qkv */
function middle(graph: GraphBuilder, spec: ModelSpec, block: Tensors, next: Tensors): SessionPlan {
  const { normed, sum } = afterAttention(graph, spec, block, next('inputNorm'), { sum: 'sum' })
  graph.output(sum)
  qkv(graph, spec, next, normed)
  return graph.build()
}

/** attention, x → hidden */
function last(graph: GraphBuilder, spec: ModelSpec, block: Tensors, finalNorm: WeightTensor): SessionPlan {
  const { normed } = afterAttention(graph, spec, block, finalNorm, { normed: 'hidden' })
  graph.output(normed)
  return graph.build()
}

/** hidden → logits */
function head(graph: GraphBuilder, spec: ModelSpec, matrix: WeightTensor, rows?: readonly number[]): SessionPlan {
  const hidden = graph.input('hidden', spec.hiddenSize)
  graph.output(graph.linear(hidden, [matrix], { ...(rows ? { rows } : {}), as: 'logits' }))
  return graph.build()
}

/** embedding, hidden → sum (u), qkv */
function drafterInput(graph: GraphBuilder, spec: ModelSpec, drafter: Tensors, block: Tensors): SessionPlan {
  assert(spec.mtp, 'the model has a drafter')
  const embedding = graph.norm(graph.input('embedding', spec.hiddenSize), drafter('embedNorm'))
  const hidden = graph.norm(graph.input('hidden', spec.hiddenSize), drafter('hiddenNorm'))
  const embeddingFirst = spec.mtp.concatOrder === 'embedding-first'
  const joined = embeddingFirst ? graph.concat(embedding, hidden) : graph.concat(hidden, embedding)
  const sum = graph.linear(joined, [drafter('fc')], { as: 'sum' })
  graph.output(sum)
  qkv(graph, spec, block, graph.norm(sum, block('inputNorm')))
  return graph.build()
}

/** Queries, keys and values of a row, in this order, as output `qkv`. */
function qkv(graph: GraphBuilder, spec: ModelSpec, block: Tensors, normed: string): void {
  const matrices = [block('q'), block('k'), block('v')]
  const biases = spec.qkvBias ? [block('qBias'), block('kBias'), block('vBias')] : []
  graph.output(graph.linear(normed, matrices, { biases, as: 'qkv' }))
}

/** From the inputs `attention` and `x`: the rest of a block, and the norm that follows it. */
function afterAttention(
  graph: GraphBuilder,
  spec: ModelSpec,
  block: Tensors,
  nextNorm: WeightTensor,
  names: { readonly normed?: string; readonly sum?: string },
): { readonly normed: string; readonly sum: string } {
  const attention = graph.input('attention', spec.numHeads * spec.headDim)
  const x = graph.input('x', spec.hiddenSize)
  const { normed, sum } = graph.residualNorm(graph.linear(attention, [block('o')]), x, block('preMlpNorm'))
  const gate = graph.silu(graph.linear(normed, [block('gate')]))
  const activated = graph.multiply(gate, graph.linear(normed, [block('up')]))
  return graph.residualNorm(graph.linear(activated, [block('down')]), sum, nextNorm, names)
}

function tensorsOf(spec: ModelSpec): (part: WeightTensor['part'], layer: number | undefined) => Tensors {
  const key = (part: string, layer: number | undefined, role: WeightRole) => `${part} ${layer} ${role}`
  const tensors = new Map(weightPlan(spec).map((tensor) => [key(tensor.part, tensor.layer, tensor.role), tensor]))
  return (part, layer) => (role) => {
    const tensor = tensors.get(key(part, layer, role))
    assert(tensor, `the model has a tensor ${role}`)
    return tensor
  }
}
