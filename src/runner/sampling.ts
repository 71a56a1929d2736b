/** From logits to tokens, as a list of ops: the cut of top-k and top-p, the best token by chunk, the best of a row. */

import { sampleChunks } from '../kernels/sampleChunks.ts'
import { sampleSelect } from '../kernels/sampleSelect.ts'
import type { ModelContext } from './forward.ts'
import { type PassName, passSlice } from './passes.ts'
import { type Op, op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'

/** Chooses a token for every sampled row with its request's parameters; with `digest` also the digest of its logits. */
export function sampleOps(model: ModelContext, digest: boolean): Op[] {
  const { spec, kernels, buffer } = model
  const sampled = (counts: StepCounts) => counts.sampled
  return [
    op('sampleThreshold', kernels.sampleThreshold, { vocabSize: spec.vocabSize }, sampled, {
      pass: passSlice(buffer('passes'), 'sampled'),
      sampledTable: buffer('sampledTable'),
      table: buffer('table'),
      logits: buffer('logits'),
      thresholds: buffer('thresholds'),
    }),
    ...chooseOps(model, 'sampled', sampled, 'sampledTable', { greedy: false, digest }),
  ]
}

/** Drafts: the argmax of every row of a draft pass. */
export function draftTokenOps(model: ModelContext, pass: PassName, rows: (counts: StepCounts) => number): Op[] {
  return chooseOps(model, pass, rows, 'draftTableRows', { greedy: true, digest: false })
}

function chooseOps(
  { spec, buffer }: ModelContext,
  pass: PassName,
  rows: (counts: StepCounts) => number,
  tableRows: string,
  mode: { readonly greedy: boolean; readonly digest: boolean },
): Op[] {
  const shape = { vocabSize: spec.vocabSize, ...mode }
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
      chunks: buffer('chunks'),
      tokens: buffer('tokens'),
      digests: buffer('digests'),
    }),
  ]
}
