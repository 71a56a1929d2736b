/**
 * The memory plan of the WebAssembly backend, and its defaults. The part of ONNX Runtime is an estimate (ortMemory.ts), everything else
 * is exact. It must never know what is measured.
 */

import type { BackendDefaults, ModelTensor } from '../backend/backend.ts'
import { BLOCK_SIZE } from '../core/cost.ts'
import { type StepGeometry, stepGeometry } from '../core/stepGeometry.ts'
import { drafterLayer, type ModelSpec } from '../models/modelSpec.ts'
import type { EngineOptions, Quantization } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import type { MemoryPlan } from '../protocol/service.ts'
import { placeBuffers } from './attentionMemory.ts'
import { type AttentionShape, attentionPlan } from './attentionPlan.ts'
import { embeddingBytes, leastOrtBytes, MOST_ORT_BYTES, type OrtSizes, ortBytes } from './ortMemory.ts'

/** A step should take so long at most: messages wait for it. */
const STEP_SECONDS = 0.1
/** What one thread was measured to do, or less. */
const MULTIPLY_ADDS_PER_SECOND = 8e9
const FEWEST_ROWS = 16
const MOST_ROWS = 256

/** B by the multiply-adds of a row, so that a full step takes about 100 ms on one thread. */
export function ortDefaults(spec: ModelSpec): BackendDefaults {
  const rows = Math.floor((STEP_SECONDS * MULTIPLY_ADDS_PER_SECOND) / rowMultiplyAdds(spec))
  return { maxNumBatchedTokens: Math.min(Math.max(rows, FEWEST_ROWS), MOST_ROWS), kvCacheDtype: 'f32' }
}

/** Weights that a sampled row is multiplied with. */
function rowMultiplyAdds(spec: ModelSpec): number {
  const { hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim, vocabSize } = spec
  const block = hiddenSize * ((2 * numHeads + 2 * numKvHeads) * headDim + 3 * intermediateSize)
  return numLayers * block + hiddenSize * vocabSize
}

export function attentionShape(spec: ModelSpec, drafts: number): AttentionShape {
  const { rmsNormEps, attentionScale, attentionSoftcap, queryScaling, ropes, headDim } = spec
  return {
    heads: spec.numHeads,
    kvHeads: spec.numKvHeads,
    headDim,
    headNorm: spec.qkNorm === 'head',
    layers: drafts > 0 ? [...spec.layers, drafterLayer(spec)] : spec.layers,
    ...{ rmsNormEps, attentionScale, attentionSoftcap, queryScaling, ropes },
  }
}

/** Bytes of the arrays that the model keeps beside attention and ONNX Runtime. */
export function hostBytes(
  { hiddenSize }: ModelSpec,
  { rows, totalBlocks, drafts }: StepGeometry,
): { readonly hiddenStates: number; readonly rows: number } {
  const row = hiddenSize * 4
  return drafts > 0
    ? { hiddenStates: totalBlocks * BLOCK_SIZE * row, rows: 2 * rows * row }
    : { hiddenStates: 0, rows: rows * row }
}

/**
 * @throws INVALID_OPTION for a KV cache that is not f32; LIMIT_EXCEEDED for weights, or a KV cache, beyond a WebAssembly memory;
 *   MODEL_FORMAT
 */
export function ortPlan(
  spec: ModelSpec,
  options: EngineOptions,
  tensors: readonly ModelTensor[],
  quantization: Quantization,
): MemoryPlan {
  if (options.kvCacheDtype !== 'f32') {
    const message = "kvCacheDtype must be 'f32' on backend 'wasm', where the KV cache has no other format: leave it out"
    throw new WeirError('INVALID_OPTION', message, { option: 'kvCacheDtype', value: options.kvCacheDtype })
  }
  const geometry = stepGeometry(spec.vocabSize, options)
  const { maxModelLen } = options
  const attention = attentionPlan(attentionShape(spec, geometry.drafts), { ...geometry, maxModelLen })
  placeBuffers(attention)
  const isCache = ({ name }: { readonly name: string }) => name.startsWith('kv.')
  const host = hostBytes(spec, geometry)
  const { rows, sampled, drafts, draftVocab } = geometry
  const subset = draftVocab < spec.vocabSize ? draftVocab : undefined
  const sizes = { rows, sampled, withDrafter: drafts > 0, draftVocab: subset, quantization }
  checkWeights(spec, tensors, sizes)
  const weights = [
    { name: 'embed', bytes: embeddingBytes(spec, tensors) },
    { name: 'onnxruntime', bytes: ortBytes(spec, tensors, sizes) },
  ]
  const kvCache = [...attention.filter(isCache), ...present('hiddenStates', host.hiddenStates)]
  const workspace = [...attention.filter((buffer) => !isCache(buffer)), { name: 'rows', bytes: host.rows }]
  const [weightBytes, kvCacheBytes, workspaceBytes] = [total(weights), total(kvCache), total(workspace)]
  return {
    totalBytes: weightBytes + kvCacheBytes + workspaceBytes,
    weightBytes,
    kvCacheBytes,
    workspaceBytes,
    buffers: [...weights, ...kvCache, ...workspace],
  }
}

function checkWeights(spec: ModelSpec, tensors: readonly ModelTensor[], sizes: OrtSizes): void {
  const limit = MOST_ORT_BYTES
  const bytes = leastOrtBytes(spec, tensors, sizes)
  if (bytes <= limit) return
  const w8a8 = leastOrtBytes(spec, tensors, { ...sizes, quantization: 'w8a8' })
  const advice = w8a8 <= limit ? `set quantization to 'w8a8', with which they need ${w8a8}, or take` : 'take'
  const message =
    `the weights of the model need ${bytes} bytes of ONNX Runtime's WebAssembly memory, which holds 4 GiB (${limit}), ` +
    `since backend 'wasm' computes with ${sizes.quantization === 'w8a8' ? '8-bit integers' : 'f32, whatever the files hold'}: ` +
    `${advice} a smaller model, or set backend to 'webgpu' where there is a GPU`
  throw new WeirError('LIMIT_EXCEEDED', message, { bytes, limit })
}

interface Planned {
  readonly name: string
  readonly bytes: number
}

function present(name: string, bytes: number): Planned[] {
  return bytes > 0 ? [{ name, bytes }] : []
}

function total(buffers: readonly Planned[]): number {
  return buffers.reduce((sum, { bytes }) => sum + bytes, 0)
}
