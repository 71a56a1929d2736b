/**
 * The architecture of a model as properties: sizes, constants, kinds of layers. The forward pass reads these and never asks for a
 * model's name. Everything here changes the arithmetic, except what is marked. It must never know tensor names (weightNames.ts),
 * bytes, or a device.
 */

/** A layer of the target model. */
export interface LayerSpec {
  /** How it caches its past. `paged`: keys and values in blocks of the KV cache. */
  readonly cache: 'paged'
  /** Query i sees the keys j with i - window < j ≤ i; undefined: all up to its own. */
  readonly window: number | undefined
  /** index in `ropes`; undefined: queries and keys are not rotated (NoPE) */
  readonly rope: number | undefined
}

/** Rotary position embedding (Su et al. 2021, RoFormer), dims i and i + dims / 2 as a pair. */
export interface RopeSpec {
  /** rotated dims of a head, its first ones; a multiple of 8. The others pass. */
  readonly dims: number
  readonly theta: number
  readonly scaling: RopeScaling | undefined
}

/** How the angles differ from position · theta^(-2i / dims), to reach beyond the positions of the training. */
export type RopeScaling =
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3'
      readonly factor: number
      readonly lowFrequencyFactor: number
      readonly highFrequencyFactor: number
      readonly originalPositions: number
    }
  | {
      readonly kind: 'yarn'
      readonly factor: number
      readonly betaFast: number
      readonly betaSlow: number
      /** whether the borders of the ramp are whole dims */
      readonly truncate: boolean
      readonly originalPositions: number
      /** of cosines and sines */
      readonly attentionFactor: number
    }
  | {
      readonly kind: 'longrope'
      /** frequency i is divided by the i-th, [dims / 2]; the long ones where maxModelLen > originalPositions */
      readonly shortFactors: readonly number[]
      readonly longFactors: readonly number[]
      readonly originalPositions: number
      readonly attentionFactor: number
    }
  /** frequency i is divided by the i-th, [dims / 2]: how a GGUF file gives any of the others */
  | { readonly kind: 'divisors'; readonly divisors: readonly number[] }

/** A multi-token-prediction head: one block of the model's architecture, sharing the model's embedding and LM head. */
export interface MtpSpec {
  readonly blocks: 1
  /** naming scheme of its tensors */
  readonly names: 'qwen3-next' | 'mimo'
  /** which half comes first in the concatenation that is projected */
  readonly concatOrder: 'embedding-first' | 'hidden-first'
  /** the embedding is zero at position 0 */
  readonly maskFirstEmbedding: boolean
}

export interface ModelSpec {
  /** model_type of config.json; for messages and tensor names alone */
  readonly family: string
  /** as in config.json, for display */
  readonly architecture: string
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numLayers: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  readonly vocabSize: number
  readonly maxPositions: number

  readonly rmsNormEps: number
  /**
   * Where a block has RMSNorms, with `a` for attention and MLP:
   * - `pre`: x += a(norm(x)).
   * - `sandwich`: x += norm(a(norm(x))).
   * - `post`: x += norm(a(x)).
   */
  readonly norms: 'pre' | 'sandwich' | 'post'
  /** RMSNorm before RoPE: of each query and key head, or of all query heads and all key heads of a row together */
  readonly qkNorm: 'head' | 'whole' | undefined
  /** which projections have a bias */
  readonly qkvBias: boolean
  readonly outputBias: boolean
  readonly mlpBias: boolean
  /** MLP: down(activation(gate(x)) · up(x)) */
  readonly activation: 'silu' | 'gelu_tanh'
  /** a score is query · key · attentionScale, and with a cap c · tanh(score / c) */
  readonly attentionScale: number
  readonly attentionSoftcap: number | undefined
  /** queries at position p are multiplied by 1 + beta · ln(1 + ⌊p / originalPositions⌋) */
  readonly queryScaling: { readonly beta: number; readonly originalPositions: number } | undefined
  /** x = embedding · embeddingScale before the first block */
  readonly embeddingScale: number
  /** what a block's attention and MLP add is multiplied by it */
  readonly residualScale: number
  /** logits are multiplied by it, and with a cap c then c · tanh(logit / c) */
  readonly logitScale: number
  readonly logitSoftcap: number | undefined

  readonly ropes: readonly RopeSpec[]
  readonly layers: readonly LayerSpec[] // [numLayers]
  /** the embedding matrix is also the LM head */
  readonly tiedEmbeddings: boolean
  readonly mtp: MtpSpec | undefined
  /** ids that end generation; may be empty */
  readonly eosTokenIds: readonly number[]
  readonly bosTokenId: number | undefined
}

/** The layer that a drafter's block is: it attends to every key. */
export function drafterLayer({ ropes }: Pick<ModelSpec, 'ropes'>): LayerSpec {
  return { cache: 'paged', window: undefined, rope: ropes.length > 0 ? 0 : undefined }
}
