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
 * A block's norms stand elsewhere in families where they follow attention and MLP.
 *
 * The head is a session of its own, so that target and drafter share its weights and that it is made as soon as its matrix,
 * which comes first in most files, is read. It must never know where weights come from or how a session runs.
 */

import type { ModelSpec } from '../models/modelSpec.ts'
import { type BlockRole, type WeightRole, type WeightTensor, weightPlan } from '../models/weightNames.ts'
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

export type SessionPlans = ReadonlyMap<SessionName, SessionPlan>

/** The sessions that a model needs. */
export function sessionPlans(spec: ModelSpec, use: ModelUse): SessionPlans {
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
  qkv(graph, spec, block, inputNorm(graph, spec, block, graph.input('x', spec.hiddenSize)))
  return graph.build()
}

/** attention, x → sum, qkv */
function middle(graph: GraphBuilder, spec: ModelSpec, block: Tensors, next: Tensors): SessionPlan {
  const nextNorm = spec.norms === 'post' ? undefined : next('inputNorm')
  const { normed, sum } = afterAttention(graph, spec, block, nextNorm, { sum: 'sum' })
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
  const { logitScale, logitSoftcap } = spec
  const hidden = graph.scale(graph.input('hidden', spec.hiddenSize), logitScale / (logitSoftcap ?? 1))
  const some = rows ? { rows } : {}
  if (logitSoftcap) graph.output(graph.cappedTanh(graph.linear(hidden, [matrix], some), logitSoftcap, 'logits'))
  else graph.output(graph.linear(hidden, [matrix], { ...some, as: 'logits' }))
  return graph.build()
}

/** embedding, hidden → sum (u), qkv */
function drafterInput(graph: GraphBuilder, spec: ModelSpec, drafter: Tensors, block: Tensors): SessionPlan {
  assert(spec.mtp, 'the model has a drafter')
  const embedding = graph.norm(graph.input('embedding', spec.hiddenSize), drafter('embedNorm'))
  const hidden = graph.norm(graph.input('hidden', spec.hiddenSize), drafter('hiddenNorm'))
  const embeddingFirst = spec.mtp.concatOrder === 'embedding-first'
  const joined = graph.concat(embeddingFirst ? [embedding, hidden] : [hidden, embedding])
  const sum = graph.linear(joined, [drafter('fc')], { as: 'sum' })
  graph.output(sum)
  qkv(graph, spec, block, inputNorm(graph, spec, block, sum))
  return graph.build()
}

/** What a block's attention reads. */
function inputNorm(graph: GraphBuilder, spec: ModelSpec, block: Tensors, x: string): string {
  return spec.norms === 'post' ? x : graph.norm(x, block('inputNorm'))
}

/** Queries, keys and values of a row, in this order, as output `qkv`. */
function qkv(graph: GraphBuilder, spec: ModelSpec, block: Tensors, x: string): void {
  const biases = (...roles: readonly WeightRole[]) => ({ biases: spec.qkvBias ? roles.map(block) : [] })
  if (spec.qkNorm === 'whole') {
    const queries = graph.norm(graph.linear(x, [block('q')], biases('qBias')), block('qNorm'))
    const keys = graph.norm(graph.linear(x, [block('k')], biases('kBias')), block('kNorm'))
    graph.output(graph.concat([queries, keys, graph.linear(x, [block('v')], biases('vBias'))], 'qkv'))
    return
  }
  const matrices = [block('q'), block('k'), block('v')]
  graph.output(graph.linear(x, matrices, { ...biases('qBias', 'kBias', 'vBias'), as: 'qkv' }))
}

/** From the inputs `attention` and `x`: the rest of a block, and the norm that follows it; undefined: none follows. */
function afterAttention(
  graph: GraphBuilder,
  spec: ModelSpec,
  block: Tensors,
  nextNorm: WeightTensor | undefined,
  names: { readonly normed?: string; readonly sum?: string },
): { readonly normed: string; readonly sum: string } {
  const attention = graph.input('attention', spec.numHeads * spec.headDim)
  const x = graph.input('x', spec.hiddenSize)
  const after = (role: BlockRole) => (spec.norms === 'pre' ? undefined : block(role))
  const attended = graph.linear(attention, [block('o')], { biases: spec.outputBias ? [block('oBias')] : [] })
  const mlpNorm = spec.norms === 'post' ? undefined : block('preMlpNorm')
  const { normed, sum } = residual(graph, spec, attended, x, after('postAttentionNorm'), mlpNorm)
  return residual(graph, spec, mlp(graph, spec, block, normed), sum, after('postMlpNorm'), nextNorm, names)
}

function mlp(graph: GraphBuilder, spec: ModelSpec, block: Tensors, x: string): string {
  const linear = (input: string, role: 'gate' | 'up' | 'down') =>
    graph.linear(input, [block(role)], { biases: spec.mlpBias ? [block(`${role}Bias`)] : [] })
  const gate = graph.activation(linear(x, 'gate'), spec.activation)
  return linear(graph.multiply(gate, linear(x, 'up')), 'down')
}

/** sum = x + residualScale · branch, where `branchNorm` normalises the branch first, and its `nextNorm`; undefined: no norm. */
function residual(
  graph: GraphBuilder,
  spec: ModelSpec,
  branch: string,
  x: string,
  branchNorm: WeightTensor | undefined,
  nextNorm: WeightTensor | undefined,
  names: { readonly normed?: string; readonly sum?: string } = {},
): { readonly normed: string; readonly sum: string } {
  const scaled = graph.scale(branchNorm ? graph.norm(branch, branchNorm) : branch, spec.residualScale)
  if (nextNorm) return graph.residualNorm(scaled, x, nextNorm, names)
  const sum = graph.add(scaled, x, names.sum)
  return { normed: sum, sum }
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
