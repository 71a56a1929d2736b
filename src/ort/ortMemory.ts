/**
 * Estimates of the memory of a loaded model, from the headers of its weights alone. ONNX Runtime allocates on its own, so its
 * part is an upper estimate: in models of 12 MiB to 1.5 GiB of f32 weights the measured memory was 70 to 99 % of it.
 */

import type { ModelTensor } from '../backend/backend.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { Quantization } from '../protocol/engineOptions.ts'
import { rowBytes } from '../weights/rowSlices.ts'
import type { SessionPlan } from './graphBuilder.ts'
import { loadingOrder } from './loadingOrder.ts'
import { type SessionName, type SessionPlans, sessionPlans } from './sessionPlans.ts'

const MIB = 2 ** 20

/** The most that a 32-bit WebAssembly memory can have. */
export const MOST_ORT_BYTES = 2 ** 32

/** of the module before any session */
const EMPTY_BYTES = 16 * MIB

/** Holes between weights, which are allocated twice while a session is made. */
const FRAGMENTATION = 1.08

/** The memory grows by a fifth more than it needs, at most by this. */
const MOST_GROWTH_BYTES = 96 * MIB

/** What ONNX Runtime's memory depends on beside the model. */
export interface OrtSizes {
  /** B: most rows of a step */
  readonly rows: number
  /** most rows with logits */
  readonly sampled: number
  readonly withDrafter: boolean
  /** columns of the draft head; undefined: those of the head */
  readonly draftVocab?: number | undefined
  /** default 'none' */
  readonly quantization?: Quantization | undefined
}

/**
 * Bytes of ONNX Runtime's WebAssembly memory once the model is loaded and has run its largest step.
 */
export function ortBytes(spec: ModelSpec, tensors: readonly ModelTensor[], sizes: OrtSizes): number {
  const { rows, sampled } = sizes
  const plans = plansOf(spec, sizes)
  const weights = weightBytes(plans, loadingOrder(spec, plans, tensors, sizes.withDrafter))
  const most = ([name, { rowValues }]: readonly [SessionName, SessionPlan]) =>
    4 * rowValues * (name === 'head' || name === 'draftHead' ? sampled : rows)
  const used = Math.max(weights.most, weights.kept + Math.max(...[...plans].map(most)))
  const needed = EMPTY_BYTES + FRAGMENTATION * used
  return Math.ceil(needed + Math.min(needed / 5, MOST_GROWTH_BYTES))
}

/** Bytes of that memory that weights need while sessions are made, if there are no holes between them and nothing else. */
export function leastOrtBytes(spec: ModelSpec, tensors: readonly ModelTensor[], sizes: OrtSizes): number {
  const plans = plansOf(spec, sizes)
  return EMPTY_BYTES + weightBytes(plans, loadingOrder(spec, plans, tensors, sizes.withDrafter)).most
}

function plansOf(spec: ModelSpec, { withDrafter, draftVocab, quantization }: OrtSizes): SessionPlans {
  const draftIds = draftVocab === undefined ? undefined : Array.from({ length: draftVocab }, (_, id) => id)
  return sessionPlans(spec, { withDrafter, draftVocab: draftIds, quantization })
}

/** Bytes of the embedding matrix, which stays in host memory as it is stored. */
export function embeddingBytes({ vocabSize, hiddenSize }: ModelSpec, tensors: readonly ModelTensor[]): number {
  const embed = tensors.find(({ role }) => role === 'embed')
  return embed ? vocabSize * rowBytes(embed.format, hiddenSize) : 0
}

/** Bytes of all sessions' weights, and the most while loading: a session that is being made has its weights twice. */
function weightBytes(plans: SessionPlans, tensors: readonly ModelTensor[]): { kept: number; most: number } {
  const order = new Map(tensors.map(({ name }, index) => [name, index]))
  const lastTensor = ({ places }: SessionPlan) =>
    Math.max(...places.map(({ tensor }) => order.get(tensor) ?? order.size))
  const bySession = [...plans.values()].sort((a, b) => lastTensor(a) - lastTensor(b))
  let [kept, most] = [0, 0]
  for (const session of bySession) {
    kept += session.weightBytes
    most = Math.max(most, kept + session.weightBytes)
  }
  return { kept, most }
}
