/**
 * The tensors of a model by role, with name and shape, and the check of a checkpoint's header against them before any
 * weight is fetched. Blocks are named as in Llama and its descendants in Transformers; each family names its drafter
 * differently. It must never know where the bytes come from or how they are laid out on the GPU.
 */

import { WeirError } from '../protocol/errors.ts'
import type { ModelSpec, MtpSpec } from './modelSpec.ts'

type AttentionRole = 'q' | 'k' | 'v' | 'qBias' | 'kBias' | 'vBias' | 'qNorm' | 'kNorm' | 'o' | 'oBias'

type MlpRole = 'gate' | 'up' | 'down' | 'gateBias' | 'upBias' | 'downBias'

export type BlockRole = 'inputNorm' | AttentionRole | 'postAttentionNorm' | 'preMlpNorm' | MlpRole | 'postMlpNorm'

export type WeightRole = 'embed' | 'lmHead' | 'finalNorm' | 'fc' | 'embedNorm' | 'hiddenNorm' | BlockRole

export interface WeightTensor {
  readonly role: WeightRole
  /** whether it belongs to the target model or to its drafter */
  readonly part: 'model' | 'mtp'
  /** index of the block within its part; undefined for tensors outside the blocks */
  readonly layer: number | undefined
  readonly name: string
  /** matrices are [N (outputs)][K (inputs)], row-major; norms are [K], biases [N] */
  readonly shape: readonly number[]
}

/** Supported element types, by their names in safetensors. */
export type CheckpointDtype = 'BF16' | 'F16' | 'F32'

export interface CheckedTensor extends WeightTensor {
  readonly dtype: CheckpointDtype
}

/** The header's entry of a tensor. */
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

/** Matrices fused into one for a kernel, which must have the same element type. */
const FUSED: readonly (readonly BlockRole[])[] = [
  ['q', 'k', 'v'],
  ['gate', 'up'],
]

/** Every tensor of the model, the drafter's last. A tied LM head is not listed. */
export function weightPlan(spec: ModelSpec): WeightTensor[] {
  const { hiddenSize, vocabSize } = spec
  const plan: WeightTensor[] = []
  const add = (part: WeightTensor['part'], role: WeightRole, name: string, shape: readonly number[]): void => {
    plan.push({ role, part, layer: undefined, name: `${name}.weight`, shape })
  }
  add('model', 'embed', 'model.embed_tokens', [vocabSize, hiddenSize])
  for (let layer = 0; layer < spec.numLayers; layer++) {
    plan.push(...blockTensors(spec, 'model', layer, `model.layers.${layer}`))
  }
  add('model', 'finalNorm', 'model.norm', [hiddenSize])
  if (!spec.tiedEmbeddings) add('model', 'lmHead', 'lm_head', [vocabSize, hiddenSize])
  if (spec.mtp) {
    const names = MTP_NAMES[spec.mtp.names]
    add('mtp', 'embedNorm', names.embedNorm, [hiddenSize])
    add('mtp', 'hiddenNorm', names.hiddenNorm, [hiddenSize])
    add('mtp', 'fc', names.fc, [hiddenSize, 2 * hiddenSize])
    plan.push(...blockTensors(spec, 'mtp', 0, names.block))
    add('mtp', 'finalNorm', names.finalNorm, [hiddenSize])
  }
  return plan
}

function blockTensors(spec: ModelSpec, part: WeightTensor['part'], layer: number, prefix: string): WeightTensor[] {
  const { hiddenSize, intermediateSize, headDim } = spec
  const queries = spec.numHeads * headDim
  const keys = spec.numKvHeads * headDim
  type Row = readonly [role: BlockRole, name: string, shape: readonly number[]]
  const biases: readonly Row[] = [
    ['qBias', 'self_attn.q_proj.bias', [queries]],
    ['kBias', 'self_attn.k_proj.bias', [keys]],
    ['vBias', 'self_attn.v_proj.bias', [keys]],
  ]
  const whole = spec.qkNorm === 'whole'
  const queryKeyNorms: readonly Row[] = [
    ['qNorm', 'self_attn.q_norm.weight', [whole ? queries : headDim]],
    ['kNorm', 'self_attn.k_norm.weight', [whole ? keys : headDim]],
  ]
  const norm = (role: BlockRole, name: string): Row => [role, `${name}.weight`, [hiddenSize]]
  const norms = {
    pre: [norm('inputNorm', 'input_layernorm'), norm('preMlpNorm', 'post_attention_layernorm')],
    sandwich: [
      norm('inputNorm', 'input_layernorm'),
      norm('postAttentionNorm', 'post_attention_layernorm'),
      norm('preMlpNorm', 'pre_feedforward_layernorm'),
      norm('postMlpNorm', 'post_feedforward_layernorm'),
    ],
    post: [norm('postAttentionNorm', 'post_attention_layernorm'), norm('postMlpNorm', 'post_feedforward_layernorm')],
  }[spec.norms]
  const mlpBiases: readonly Row[] = [
    ['gateBias', 'mlp.gate_proj.bias', [intermediateSize]],
    ['upBias', 'mlp.up_proj.bias', [intermediateSize]],
    ['downBias', 'mlp.down_proj.bias', [hiddenSize]],
  ]
  const tensors: readonly Row[] = [
    ...norms,
    ['q', 'self_attn.q_proj.weight', [queries, hiddenSize]],
    ['k', 'self_attn.k_proj.weight', [keys, hiddenSize]],
    ['v', 'self_attn.v_proj.weight', [keys, hiddenSize]],
    ...(spec.qkvBias ? biases : []),
    ...(spec.qkNorm ? queryKeyNorms : []),
    ['o', 'self_attn.o_proj.weight', [hiddenSize, queries]],
    ...(spec.outputBias ? ([['oBias', 'self_attn.o_proj.bias', [hiddenSize]]] as const) : []),
    ['gate', 'mlp.gate_proj.weight', [intermediateSize, hiddenSize]],
    ['up', 'mlp.up_proj.weight', [intermediateSize, hiddenSize]],
    ['down', 'mlp.down_proj.weight', [hiddenSize, intermediateSize]],
    ...(spec.mlpBias ? mlpBiases : []),
  ]
  return tensors.map(([role, name, shape]) => ({ role, part, layer, name: `${prefix}.${name}`, shape }))
}

/**
 * Checks a checkpoint's header against the weight plan. @returns the plan with each tensor's element type
 * @throws MODEL_FORMAT naming a tensor that is missing, has another shape, an unsupported dtype or one that differs within a
 * fused matrix; and one that stands beside the planned ones and would change their meaning (a bias, a scale, a further layer)
 */
export function checkTensors(spec: ModelSpec, tensors: ReadonlyMap<string, TensorHeader>): CheckedTensor[] {
  const checked = weightPlan(spec).map((planned) => checkTensor(planned, tensors.get(planned.name)))
  checkFusedTypes(checked)
  checkCompanions(spec, checked, tensors)
  return checked
}

function checkTensor(planned: WeightTensor, found: TensorHeader | undefined): CheckedTensor {
  const { name } = planned
  if (!found) {
    const reason = planned.part === 'mtp' ? '; config.json promises a drafter (num_nextn_predict_layers is 1)' : ''
    throw new WeirError('MODEL_FORMAT', `weights: tensor ${name} is missing${reason}`, { tensor: name })
  }
  if (found.shape.join() !== planned.shape.join()) {
    const [actual, expected] = [`[${found.shape.join(', ')}]`, `[${planned.shape.join(', ')}]`]
    throw new WeirError(
      'MODEL_FORMAT',
      `weights: tensor ${name} has shape ${actual}, config.json asks for ${expected}`,
      {
        tensor: name,
        shape: actual,
        expected,
      },
    )
  }
  const { dtype } = found
  if (dtype !== 'BF16' && dtype !== 'F16' && dtype !== 'F32') {
    throw new WeirError('MODEL_FORMAT', `weights: tensor ${name} has dtype ${dtype}; supported: BF16, F16, F32`, {
      tensor: name,
      dtype,
    })
  }
  return { ...planned, dtype }
}

function checkFusedTypes(checked: readonly CheckedTensor[]): void {
  const first = new Map<string, CheckedTensor>()
  for (const tensor of checked) {
    const group = FUSED.findIndex((roles) => roles.some((role) => role === tensor.role))
    if (group < 0) continue
    const key = `${tensor.part}.${tensor.layer}.${group}`
    const other = first.get(key) ?? tensor
    first.set(key, other)
    if (other.dtype !== tensor.dtype) {
      throw new WeirError(
        'MODEL_FORMAT',
        `weights: tensor ${tensor.name} has dtype ${tensor.dtype} but ${other.name} has ${other.dtype}; they must agree`,
        { tensor: tensor.name, dtype: tensor.dtype },
      )
    }
  }
}

/**
 * Refuses tensors that the forward pass would silently ignore: another tensor of a planned module (a bias, a scale),
 * QK-norms in a family without QK-norm, and layers past the last.
 */
function checkCompanions(
  spec: ModelSpec,
  checked: readonly CheckedTensor[],
  tensors: ReadonlyMap<string, TensorHeader>,
): void {
  const planned = new Set(checked.map(({ name }) => name))
  const modules = new Set(
    weightPlan({ ...spec, qkNorm: 'head' }).map(({ name }) => name.slice(0, name.lastIndexOf('.'))),
  )
  for (const name of tensors.keys()) {
    if (planned.has(name)) continue
    const layer = Number(/^model\.layers\.(\d+)\./.exec(name)?.[1] ?? -1)
    if (layer >= spec.numLayers) {
      throw new WeirError(
        'MODEL_FORMAT',
        `weights: tensor ${name} is past the last layer; config.json says num_hidden_layers is ${spec.numLayers}`,
        { tensor: name, layers: spec.numLayers },
      )
    }
    if (prefixes(name).some((prefix) => modules.has(prefix))) {
      throw new WeirError('MODEL_FORMAT', `weights: tensor ${name} is not part of a ${spec.family} model`, {
        tensor: name,
      })
    }
  }
}

/** 'a.b.c' gives 'a' and 'a.b'. */
function prefixes(name: string): string[] {
  const parts = name.split('.')
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('.'))
}
