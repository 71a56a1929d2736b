/** Loads an engine onto the processor: allocates attention's memory, makes the sessions, and runs a first step of each size. */

import type { BackendRunner, RunnerSource } from '../backend/backend.ts'
import { stepGeometry } from '../core/stepGeometry.ts'
import type { StepOutput, StepPlan } from '../core/stepPlan.ts'
import { HostRunner } from '../host/hostRunner.ts'
import { Attention } from './attention.ts'
import type { DenseModel } from './denseModel.ts'
import { loadDense } from './loadDense.ts'
import { OrtModel } from './ortModel.ts'
import { attentionShape, hostBytes } from './ortPlan.ts'
import type { Ort } from './runtime.ts'
import { warmUp } from './warmUp.ts'

/** @throws OUT_OF_MEMORY, MODEL_FORMAT, MODEL_FETCH, ABORTED; everything is released then */
export async function createOrtRunner(ort: Ort, from: RunnerSource): Promise<BackendRunner> {
  const { spec, options, weights, quantization, draftVocab, now, onProgress, signal } = from
  const geometry = stepGeometry(spec.vocabSize, options)
  const withDrafter = geometry.drafts > 0
  const { maxModelLen } = options
  const attention = await Attention.create(attentionShape(spec, geometry.drafts), { ...geometry, maxModelLen })
  const dense = await loadDense({
    spec,
    weights,
    withDrafter,
    quantization,
    draftVocab: withDrafter ? draftVocab : undefined,
    createSession: ort.createSession,
    signal,
    onProgress: (progress) => onProgress?.({ phase: 'fetch', ...progress }),
  })
  try {
    setNorms(attention, dense, withDrafter)
    const model = new OrtModel({ dense, attention, geometry, draftVocab: withDrafter ? draftVocab : undefined })
    await warmUp(
      model,
      geometry,
      (loaded, total) => onProgress?.({ phase: 'compile', file: '', loaded, total }),
      signal,
    )
    const host = new HostRunner({ model, vocabSize: spec.vocabSize, geometry, options, now })
    const { hiddenStates, rows } = hostBytes(spec, geometry)
    const ownBytes = attention.memory.memory.buffer.byteLength + dense.embeddingBytes + hiddenStates + rows
    return new OrtRunner(host, dense, () => ownBytes + ort.heapBytes())
  } catch (thrown) {
    await dense.release()
    throw thrown
  }
}

/** Hands each head's QK-norm to attention. */
export function setNorms(attention: Attention, dense: DenseModel, withDrafter: boolean): void {
  const { spec, headNorms, drafterHeadNorms } = dense
  headNorms?.forEach(({ q, k }, layer) => {
    attention.setNorms(layer, q, k)
  })
  if (withDrafter && drafterHeadNorms) attention.setNorms(spec.numLayers, drafterHeadNorms.q, drafterHeadNorms.k)
}

class OrtRunner implements BackendRunner {
  readonly kernels = { linear: 'onnxruntime', attention: 'simd' }
  /** by the order of all sums; the conformance suite compares bits */
  readonly batchInvariant = true
  readonly #host: HostRunner
  readonly #dense: DenseModel
  readonly #bytes: () => number

  /** @param bytes measured, of attention and ONNX Runtime */
  constructor(host: HostRunner, dense: DenseModel, bytes: () => number) {
    this.#host = host
    this.#dense = dense
    this.#bytes = bytes
  }

  get allocatedBytes(): number {
    return this.#bytes()
  }

  submit(plan: StepPlan): Promise<StepOutput> {
    return this.#host.submit(plan)
  }

  dispose(): void {
    this.#host.dispose()
    // A step that runs has its sessions until it ends.
    void this.#host.idle().then(() => this.#dense.release())
  }
}
