/**
 * The size of every GPU buffer, computed from the options, config.json and the header of the weights before any weight is
 * fetched. Per-row buffers hold exactly B rows, those after the head R (sampled) rows, those of a draft pass S (request)
 * rows.
 */

import type { ModelTensor } from '../backend/backend.ts'
import { BLOCK_SIZE } from '../core/cost.ts'
import { type BufferPlan, plannedBytes } from '../gpu/arena.ts'
import { readbackPlans } from '../gpu/readback.ts'
import { timestampBytes, timestampPlan } from '../gpu/timing.ts'
import { ITEM_WORDS, MERGE_WORDS } from '../kernels/attentionPlan.ts'
import { kvBytes } from '../kernels/kvCache.ts'
import { partialWords } from '../kernels/pagedAttention.ts'
import { chunkWords } from '../kernels/sampleChunks.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import type { MemoryPlan } from '../protocol/service.ts'
import { fusesGateUp, ropeBuffer } from './block.ts'
import { HIDDEN_STATES } from './forward.ts'
import { type GpuGeometry, gpuGeometry } from './gpuGeometry.ts'
import { draftsFromSubset } from './head.ts'
import { qkvColumns } from './modelOps.ts'
import { REQUEST_WORDS, RESULT_WORDS, TABLE_ROW_WORDS } from './packPlan.ts'
import { passBytes } from './passes.ts'
import { answerBytes, type LogitsDebug } from './stepResults.ts'
import { type WeightLayout, weightBuffers, weightLayout } from './weightLayout.ts'

export interface EnginePlan {
  readonly layout: WeightLayout
  readonly weights: readonly BufferPlan[]
  readonly kvCache: readonly BufferPlan[]
  readonly workspace: readonly BufferPlan[]
}

/** @param bindingBytes most bytes of a weight buffer; default: what every device can bind */
export function planBuffers(
  spec: ModelSpec,
  options: EngineOptions,
  tensors: readonly ModelTensor[],
  bindingBytes?: number,
): EnginePlan {
  const geometry = gpuGeometry(spec, options)
  const { drafts, draftVocab } = geometry
  const layout = weightLayout(spec, tensors, { withDrafter: drafts > 0, draftVocab, bindingBytes })
  const passes = geometry.drafts > 0 ? 2 : 1
  const answer = answerBytes(geometry.seqs, geometry.sampled, spec.vocabSize, options.debug.logits)
  return {
    layout,
    weights: weightBuffers(layout),
    kvCache: kvCachePlans(spec, options, geometry),
    workspace: [
      ...stepPlans(spec, options, geometry),
      ...rowPlans(spec, geometry, layout),
      ...samplingPlans(spec, geometry, options.debug.logits),
      ...(geometry.drafts > 0 ? drafterPlans(spec, geometry) : []),
      timestampPlan(passes),
      ...readbackPlans(answer + timestampBytes(passes)),
    ],
  }
}

/** All buffers of a plan in order of allocation. */
export function allBuffers(plan: EnginePlan): BufferPlan[] {
  return [...plan.weights, ...plan.kvCache, ...plan.workspace]
}

/** The plan as the public API reports it. */
export function memoryPlan(spec: ModelSpec, options: EngineOptions, tensors: readonly ModelTensor[]): MemoryPlan {
  const plan = planBuffers(spec, options, tensors)
  const buffers = allBuffers(plan)
  return {
    totalBytes: plannedBytes(buffers),
    weightBytes: plannedBytes(plan.weights),
    kvCacheBytes: plannedBytes(plan.kvCache),
    workspaceBytes: plannedBytes(plan.workspace),
    buffers: buffers.map(({ name, bytes }) => ({ name, bytes })),
  }
}

function kvCachePlans(spec: ModelSpec, options: EngineOptions, geometry: GpuGeometry): BufferPlan[] {
  const names = spec.layers.map((_layer, index) => `kv.${index}`)
  if (geometry.drafts > 0) names.push('kv.mtp')
  const bytes = kvBytes(geometry.totalBlocks, spec.numKvHeads, spec.headDim, options.kvCacheDtype)
  const plans = names.map((name): BufferPlan => ({ name, bytes, use: 'storage', knob: 'kvCacheTokens' }))
  if (geometry.drafts === 0) return plans
  return [...plans, words(HIDDEN_STATES, geometry.totalBlocks * BLOCK_SIZE * spec.hiddenSize, 'kvCacheTokens')]
}

/** The inputs that the host writes each step, and the request table. */
function stepPlans(spec: ModelSpec, options: EngineOptions, geometry: GpuGeometry): BufferPlan[] {
  const { rows, seqs, sampled, drafts, maxBlocks, maxParts } = geometry
  return [
    { name: 'passes', bytes: passBytes(drafts), use: 'uniform' },
    words('requests', seqs * REQUEST_WORDS, 'maxNumSeqs'),
    words('rowPlan', rows * 2),
    words('rowIndex', sampled),
    words('items', (rows + maxParts) * ITEM_WORDS),
    words('merges', rows * MERGE_WORDS),
    words('table', seqs * TABLE_ROW_WORDS, 'maxNumSeqs'),
    words('blockTable', seqs * maxBlocks, 'maxModelLen'),
    words('results', seqs * RESULT_WORDS, 'maxNumSeqs'),
    ...spec.ropes.map(({ dims }, index) =>
      words(ropeBuffer(index), ropeTables(spec) * options.maxModelLen * dims, 'maxModelLen'),
    ),
  ]
}

/** Tables in a rotation buffer: queries have their own where they are scaled by position. */
export function ropeTables({ queryScaling }: Pick<ModelSpec, 'queryScaling'>): number {
  return queryScaling ? 2 : 1
}

function rowPlans(spec: ModelSpec, geometry: GpuGeometry, layout: WeightLayout): BufferPlan[] {
  const { rows, maxParts } = geometry
  const blocks = spec.layers.map((_layer, index) => `layer${index}`)
  if (geometry.drafts > 0) blocks.push('mtp.block')
  const apart = blocks.some((weights) => !fusesGateUp({ spec, layout }, weights))
  const queries = spec.numHeads * spec.headDim
  return [
    words('ids', rows),
    words('positions', rows),
    words('slots', rows),
    words('tableRows', rows),
    words('residual', rows * spec.hiddenSize),
    words('normed', rows * spec.hiddenSize),
    words('qkv', rows * qkvColumns(spec)),
    ...(spec.qkNorm === 'whole' ? [words('unnormed', rows * qkvColumns(spec))] : []),
    words('q', rows * queries),
    words('attention', rows * queries),
    words('partials', maxParts * partialWords({ heads: spec.numHeads, headDim: spec.headDim })),
    ...(apart ? [words('gateAndUp', rows * 2 * spec.intermediateSize)] : []),
    words('activated', rows * spec.intermediateSize),
    words('hidden', rows * spec.hiddenSize),
  ]
}

function samplingPlans(spec: ModelSpec, geometry: GpuGeometry, logits: LogitsDebug): BufferPlan[] {
  const { sampled, seqs, adjustments } = geometry
  return [
    words('sampledTable', sampled),
    words('sampledPositions', sampled),
    words('headRows', sampled),
    words('logits', sampled * spec.vocabSize, 'maxNumSeqs'),
    ...(logits === 'full' ? [words('rawLogits', sampled * spec.vocabSize, 'maxNumSeqs')] : []),
    words('adjustments', seqs * adjustments, 'maxNumSeqs'),
    words('thresholds', sampled),
    words('chunks', sampled * chunkWords(spec.vocabSize)),
    words('tokens', sampled),
    words('digests', sampled * 2),
  ]
}

function drafterPlans(spec: ModelSpec, geometry: GpuGeometry): BufferPlan[] {
  const { rows, seqs, draftVocab } = geometry
  return [
    ...(draftsFromSubset({ spec, geometry }) ? [words('draftIds', draftVocab, 'speculative.draftVocabSize')] : []),
    words('drafterPlan', rows * 2),
    words('nextTokens', rows),
    words('drafterPositions', rows),
    words('drafterSlots', rows),
    words('joined', rows * 2 * spec.hiddenSize),
    words('draftRequests', seqs),
    words('draftItems', seqs * ITEM_WORDS),
    words('draftSources', seqs),
    words('draftPositions', seqs),
    words('draftSlots', seqs),
    words('draftTableRows', seqs),
    words('draftResidual', seqs * spec.hiddenSize),
    words('draftHidden', seqs * spec.hiddenSize),
  ]
}

/** A storage buffer of `count` 32-bit words. At least 16 bytes, the smallest binding that an array of vec4f accepts. */
function words(name: string, count: number, knob = 'maxNumBatchedTokens'): BufferPlan {
  return { name, bytes: Math.max(count * 4, 16), use: 'storage', knob }
}
