/**
 * Sampling as a list of ops: penalties and bias, the min-p, top-k and top-p threshold, and the choice of a token per row.
 */

import { adjustLogits } from '../kernels/adjustLogits.ts'
import { keepLogits } from '../kernels/keepLogits.ts'
import { type SampleChunksShape, sampleChunks } from '../kernels/sampleChunks.ts'
import { type SampleSelectShape, sampleSelect } from '../kernels/sampleSelect.ts'
import { draftsFromSubset } from './head.ts'
import { type ModelContext, named } from './modelOps.ts'
import { type PassName, passSlice } from './passes.ts'
import { type Op, op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import type { LogitsDebug } from './stepResults.ts'

/** Samples a token for every sampled row with its request's parameters. `logits`: what is reported of the raw logits. */
export function sampleOps(model: ModelContext, logits: LogitsDebug): Op[] {
  const { spec, kernels, buffer } = model
  const sampled = (counts: StepCounts) => counts.sampled
  const digest = logits === 'digest'
  return [
    ...(logits === 'full' ? [keepOp(model)] : []),
    ...(model.geometry.adjustments > 0 ? [adjustOp(model, digest)] : []),
    op('sampleThreshold', kernels.sampleThreshold, { vocabSize: spec.vocabSize }, sampled, {
      pass: passSlice(buffer('passes'), 'sampled'),
      sampledTable: buffer('sampledTable'),
      table: buffer('table'),
      logits: buffer('logits'),
      thresholds: buffer('thresholds'),
    }),
    ...chooseOps(model, 'sampled', sampled, 'sampledTable', {
      vocabSize: spec.vocabSize,
      subset: false,
      greedy: false,
      digest,
    }),
  ]
}

function keepOp(model: ModelContext): Op {
  const shape = { vocabSize: model.spec.vocabSize }
  return op('keepLogits', keepLogits, shape, (counts) => counts.sampled, {
    pass: passSlice(model.buffer('passes'), 'sampled'),
    ...named(model, ['logits', 'rawLogits']),
  })
}

function adjustOp(model: ModelContext, digest: boolean): Op {
  const shape = { vocabSize: model.spec.vocabSize, digest }
  return op('adjustLogits', adjustLogits, shape, (counts) => counts.adjusted, {
    pass: passSlice(model.buffer('passes'), 'sampled'),
    ...named(model, ['requests', 'rowPlan', 'rowIndex', 'ids', 'table', 'adjustments', 'logits', 'chunks']),
  })
}

/** Drafts are the argmax of each row of a draft pass. */
export function draftTokenOps(model: ModelContext, pass: PassName, rows: (counts: StepCounts) => number): Op[] {
  const { draftVocab } = model.geometry
  const shape = { vocabSize: draftVocab, subset: draftsFromSubset(model), greedy: true, digest: false }
  return chooseOps(model, pass, rows, 'draftTableRows', shape)
}

function chooseOps(
  { buffer }: ModelContext,
  pass: PassName,
  rows: (counts: StepCounts) => number,
  tableRows: string,
  shape: SampleChunksShape & SampleSelectShape,
): Op[] {
  const passUniform = passSlice(buffer('passes'), pass)
  return [
    op(`${pass}.sampleChunks`, sampleChunks, shape, rows, {
      pass: passUniform,
      sampledTable: buffer(tableRows),
      sampledPositions: buffer('sampledPositions'),
      table: buffer('table'),
      logits: buffer('logits'),
      thresholds: buffer('thresholds'),
      chunks: buffer('chunks'),
    }),
    op(`${pass}.sampleSelect`, sampleSelect, shape, rows, {
      pass: passUniform,
      // WebGPU has no empty bindings: where columns are token ids, another buffer is bound and not read.
      tokenIds: buffer(shape.subset ? 'draftIds' : 'thresholds'),
      chunks: buffer('chunks'),
      tokens: buffer('tokens'),
      digests: buffer('digests'),
    }),
  ]
}
