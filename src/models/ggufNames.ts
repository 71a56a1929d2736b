/**
 * Names of a model's tensors in GGUF files, by role, and what llama.cpp's converter has rewritten in them. Sources: `TENSOR_NAMES` in
 * gguf-py/gguf/constants.py, conversion/*.py. It must never know where bytes come from.
 */

import type { WeightRole } from './weightNames.ts'

/** Matrices of several roles: Phi-3's, and of files made with fused matrices. */
export type GgufFusedRole =
  /** rows of q, then of k, then of v */
  | 'qkv'
  | 'qkvBias'
  /** rows of gate, then of up */
  | 'gateUp'

/** Drafters' own tensors have no role: no supported architecture has a drafter in GGUF. */
export type GgufRole = Exclude<WeightRole, 'fc' | 'embedNorm' | 'hiddenNorm'> | GgufFusedRole

/** With N for the layer. */
const NAMES: Readonly<Record<GgufRole, string>> = {
  embed: 'token_embd.weight',
  finalNorm: 'output_norm.weight',
  lmHead: 'output.weight',
  inputNorm: 'blk.N.attn_norm.weight',
  q: 'blk.N.attn_q.weight',
  k: 'blk.N.attn_k.weight',
  v: 'blk.N.attn_v.weight',
  qkv: 'blk.N.attn_qkv.weight',
  qBias: 'blk.N.attn_q.bias',
  kBias: 'blk.N.attn_k.bias',
  vBias: 'blk.N.attn_v.bias',
  qkvBias: 'blk.N.attn_qkv.bias',
  qNorm: 'blk.N.attn_q_norm.weight',
  kNorm: 'blk.N.attn_k_norm.weight',
  o: 'blk.N.attn_output.weight',
  oBias: 'blk.N.attn_output.bias',
  postAttentionNorm: 'blk.N.post_attention_norm.weight',
  preMlpNorm: 'blk.N.ffn_norm.weight',
  gate: 'blk.N.ffn_gate.weight',
  up: 'blk.N.ffn_up.weight',
  gateUp: 'blk.N.ffn_up.weight',
  down: 'blk.N.ffn_down.weight',
  gateBias: 'blk.N.ffn_gate.bias',
  upBias: 'blk.N.ffn_up.bias',
  downBias: 'blk.N.ffn_down.bias',
  postMlpNorm: 'blk.N.post_ffw_norm.weight',
}

/** @param layer of a block's tensor; the others have none */
export function ggufName(role: GgufRole, layer?: number): string {
  return NAMES[role].replace('N', String(layer))
}

/** What the converter did to tensors; undone at upload. */
export interface GgufRewrites {
  /** rows of q and k, and their biases, stand within each head so that the two dims of a rotated pair are neighbours */
  readonly permutedRows: boolean
  /** norms are stored as 1 + w, of families that multiply by 1 + w: nothing is to be added */
  readonly foldedNorms: boolean
}

const PERMUTED: readonly string[] = ['llama', 'smollm3', 'granite']
const FOLDED: readonly string[] = ['gemma2', 'gemma3']

/** @param architecture `general.architecture` of the metadata: 'llama' for Mistral too */
export function ggufRewrites(architecture: string): GgufRewrites {
  return { permutedRows: PERMUTED.includes(architecture), foldedNorms: FOLDED.includes(architecture) }
}
