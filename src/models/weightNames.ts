/**
 * The tensors of a model by role, with name and shape. Blocks are named as in Llama and its descendants in Transformers; each family
 * names its drafter differently. Files may name or fuse them otherwise (bindTensors.ts). It must never know where the bytes come from
 * or how they are laid out on a device.
 */

import type { ModelSpec, MtpSpec } from './modelSpec.ts'

type NormRole = 'inputNorm' | 'postAttentionNorm' | 'preMlpNorm' | 'postMlpNorm'

type AttentionRole = 'q' | 'k' | 'v' | 'qBias' | 'kBias' | 'vBias' | 'qNorm' | 'kNorm' | 'o' | 'oBias'

type MlpRole = 'gate' | 'up' | 'down' | 'gateBias' | 'upBias' | 'downBias'

/**
 * Of a block. Its norms, with a for attention and MLP (`norms` of the spec):
 * - `pre`: x += a(inputNorm(x)); x += a(preMlpNorm(x)).
 * - `sandwich`: x += postAttentionNorm(a(inputNorm(x))); x += postMlpNorm(a(preMlpNorm(x))).
 * - `post`: x += postAttentionNorm(a(x)); x += postMlpNorm(a(x)).
 */
export type BlockRole = NormRole | AttentionRole | MlpRole

export type WeightRole = 'embed' | 'lmHead' | 'finalNorm' | 'fc' | 'embedNorm' | 'hiddenNorm' | BlockRole

export interface WeightTensor {
  readonly role: WeightRole
  /** whether it belongs to the target model or to its drafter */
  readonly part: 'model' | 'mtp'
  /** index of the block within its part; undefined for tensors outside the blocks */
  readonly layer: number | undefined
  /** unique in the model; for messages, and as a key */
  readonly name: string
  /** matrices are [N (outputs)][K (inputs)], row-major; norms and biases have one size */
  readonly shape: readonly number[]
}

/** The header's entry of a tensor in a safetensors file. */
export interface TensorHeader {
  readonly dtype: string
  readonly shape: readonly number[]
}

/** Names of a drafter's modules outside its block. */
interface MtpNames {
  readonly embedNorm: string
  readonly hiddenNorm: string
  readonly fc: string
  /** prefix of its block's tensors */
  readonly block: string
  readonly finalNorm: string
}

const MTP_NAMES: Readonly<Record<MtpSpec['names'], MtpNames>> = {
  'qwen3-next': {
    embedNorm: 'mtp.pre_fc_norm_embedding',
    hiddenNorm: 'mtp.pre_fc_norm_hidden',
    fc: 'mtp.fc',
    block: 'mtp.layers.0',
    finalNorm: 'mtp.norm',
  },
  mimo: {
    embedNorm: 'model.mtp_layers.0.token_layernorm',
    hiddenNorm: 'model.mtp_layers.0.hidden_layernorm',
    fc: 'model.mtp_layers.0.input_proj',
    block: 'model.mtp_layers.0',
    finalNorm: 'model.mtp_layers.0.final_layernorm',
  },
}

/** `post_attention_layernorm` is the norm before the MLP in some families, that of attention's output in others. */
const NORM_NAMES: Readonly<Record<ModelSpec['norms'], Readonly<Partial<Record<NormRole, string>>>>> = {
  pre: { inputNorm: 'input_layernorm', preMlpNorm: 'post_attention_layernorm' },
  sandwich: {
    inputNorm: 'input_layernorm',
    postAttentionNorm: 'post_attention_layernorm',
    preMlpNorm: 'pre_feedforward_layernorm',
    postMlpNorm: 'post_feedforward_layernorm',
  },
  post: { postAttentionNorm: 'post_attention_layernorm', postMlpNorm: 'post_feedforward_layernorm' },
}

/** Every tensor of the model, the drafter's last. A tied LM head is not listed. */
export function weightPlan(spec: ModelSpec): WeightTensor[] {
  const { hiddenSize, vocabSize } = spec
  const plan: WeightTensor[] = []
  const add = (part: WeightTensor['part'], role: WeightRole, name: string, shape: readonly number[]): void => {
    plan.push({ role, part, layer: undefined, name: `${name}.weight`, shape })
  }
  add('model', 'embed', 'model.embed_tokens', [vocabSize, hiddenSize])
  for (let layer = 0; layer < spec.numLayers; layer++) plan.push(...blockTensors(spec, 'model', layer))
  add('model', 'finalNorm', 'model.norm', [hiddenSize])
  if (!spec.tiedEmbeddings) add('model', 'lmHead', 'lm_head', [vocabSize, hiddenSize])
  if (spec.mtp) {
    const names = MTP_NAMES[spec.mtp.names]
    add('mtp', 'embedNorm', names.embedNorm, [hiddenSize])
    add('mtp', 'hiddenNorm', names.hiddenNorm, [hiddenSize])
    add('mtp', 'fc', names.fc, [hiddenSize, 2 * hiddenSize])
    plan.push(...blockTensors(spec, 'mtp', 0))
    add('mtp', 'finalNorm', names.finalNorm, [hiddenSize])
  }
  return plan
}

/** What the names of a block's tensors begin with, the dot included. */
export function blockPrefix(spec: Pick<ModelSpec, 'mtp'>, part: WeightTensor['part'], layer: number): string {
  return part === 'mtp' && spec.mtp ? `${MTP_NAMES[spec.mtp.names].block}.` : `model.layers.${layer}.`
}

function blockTensors(spec: ModelSpec, part: WeightTensor['part'], layer: number): WeightTensor[] {
  const { hiddenSize, intermediateSize, headDim } = spec
  const queries = spec.numHeads * headDim
  const keys = spec.numKvHeads * headDim
  const headNorms = spec.qkNorm === 'whole' ? [queries, keys] : [headDim, headDim]
  type Row = readonly [role: BlockRole, name: string | undefined, ...shape: readonly number[]]
  const norm = (role: NormRole): Row => [role, NORM_NAMES[spec.norms][role], hiddenSize]
  const only = (present: unknown, ...rows: readonly Row[]): readonly Row[] => (present ? rows : [])
  const rows: readonly Row[] = [
    norm('inputNorm'),
    ['q', 'self_attn.q_proj', queries, hiddenSize],
    ['k', 'self_attn.k_proj', keys, hiddenSize],
    ['v', 'self_attn.v_proj', keys, hiddenSize],
    ...only(
      spec.qkvBias,
      ['qBias', 'self_attn.q_proj', queries],
      ['kBias', 'self_attn.k_proj', keys],
      ['vBias', 'self_attn.v_proj', keys],
    ),
    ...only(
      spec.qkNorm,
      ['qNorm', 'self_attn.q_norm', headNorms[0] ?? headDim],
      ['kNorm', 'self_attn.k_norm', headNorms[1] ?? headDim],
    ),
    ['o', 'self_attn.o_proj', hiddenSize, queries],
    ...only(spec.outputBias, ['oBias', 'self_attn.o_proj', hiddenSize]),
    norm('postAttentionNorm'),
    norm('preMlpNorm'),
    ['gate', 'mlp.gate_proj', intermediateSize, hiddenSize],
    ['up', 'mlp.up_proj', intermediateSize, hiddenSize],
    ...only(spec.mlpBias, ['gateBias', 'mlp.gate_proj', intermediateSize], ['upBias', 'mlp.up_proj', intermediateSize]),
    ['down', 'mlp.down_proj', hiddenSize, intermediateSize],
    ...only(spec.mlpBias, ['downBias', 'mlp.down_proj', hiddenSize]),
    norm('postMlpNorm'),
  ]
  const prefix = blockPrefix(spec, part, layer)
  return rows
    .filter(([, module]) => module !== undefined)
    .map(([role, module, ...shape]) => {
      const name = `${prefix}${module}.${role.endsWith('Bias') ? 'bias' : 'weight'}`
      return { role, part, layer, name, shape }
    })
}
