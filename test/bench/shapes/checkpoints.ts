/**
 * Checkpoints of random weights at the true shapes of well-known models, in the forms they are published in, written to out/. They
 * say nothing; what they cost is what the real ones cost.
 */

import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { ggufName } from '../../../src/models/ggufNames.ts'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import { type WeightTensor, weightPlan } from '../../../src/models/weightNames.ts'
import { alignTo } from '../../../src/util/math.ts'
import { ggufPrefix, type Typed } from '../../helpers/ggufWriter.ts'
import { blockPattern, GGML_TYPES, type GgmlName, plainPattern, scalePattern } from './patterns.ts'

export interface Shape {
  readonly name: string
  readonly config: Readonly<Record<string, unknown>>
  readonly form: 'bf16' | 'mlx-4bit' | 'gguf-q4_k_m'
  /** at load */
  readonly quantization?: 'int8'
}

const LLAMA = { hidden_act: 'silu', rms_norm_eps: 1e-5, tie_word_embeddings: true, attention_bias: false }

export const SHAPES: readonly Shape[] = [
  {
    name: 'SmolLM2-135M, int8 at load',
    form: 'bf16',
    quantization: 'int8',
    config: {
      ...LLAMA,
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      hidden_size: 576,
      intermediate_size: 1536,
      num_hidden_layers: 30,
      num_attention_heads: 9,
      num_key_value_heads: 3,
      vocab_size: 49152,
      rope_theta: 100000,
      max_position_embeddings: 8192,
    },
  },
  {
    name: 'Qwen3-0.6B, MLX 4 bit',
    form: 'mlx-4bit',
    config: {
      ...LLAMA,
      architectures: ['Qwen3ForCausalLM'],
      model_type: 'qwen3',
      hidden_size: 1024,
      intermediate_size: 3072,
      num_hidden_layers: 28,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      head_dim: 128,
      vocab_size: 151936,
      rope_theta: 1000000,
      rms_norm_eps: 1e-6,
      max_position_embeddings: 40960,
      quantization: { group_size: 64, bits: 4, mode: 'affine' },
    },
  },
  {
    name: 'Llama-3.2-1B, GGUF Q4_K_M',
    form: 'gguf-q4_k_m',
    config: {
      ...LLAMA,
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      hidden_size: 2048,
      intermediate_size: 8192,
      num_hidden_layers: 16,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      head_dim: 64,
      vocab_size: 128256,
      rope_theta: 500000,
      max_position_embeddings: 131072,
    },
  },
]

const FOLDER = 'out/bench/shapes'
const ALIGNMENT = 32

/** The checkpoint's path, which is written unless it is there. */
export function checkpointOf(shape: Shape): string {
  const folder = `${FOLDER}/${shape.name.replace(/[^\w.]+/g, '-')}`
  const file = shape.form === 'gguf-q4_k_m' ? 'model.gguf' : 'model.safetensors'
  const path = `${folder}/${file}`
  const answer = shape.form === 'gguf-q4_k_m' ? path : `${folder}/`
  if (existsSync(path) && statSync(path).size > 0) return answer
  mkdirSync(folder, { recursive: true })
  rmSync(`${path}.part`, { force: true })
  if (shape.form === 'gguf-q4_k_m') writeGguf(`${path}.part`, shape)
  else writeSafetensors(`${path}.part`, shape)
  writeFileSync(`${folder}/config.json`, JSON.stringify(shape.config))
  renameSync(`${path}.part`, path)
  return answer
}

/** A tensor of a file: what its bytes are made of, again and again. */
interface Filled {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly bytes: number
  readonly pattern: Uint8Array
}

function writeSafetensors(path: string, { config, form }: Shape): void {
  const tensors = weightPlan(parseModelSpec(config)).flatMap((tensor) =>
    form === 'mlx-4bit' && tensor.shape.length === 2 ? mlxTensors(tensor) : [plain(tensor)],
  )
  let end = 0
  const header: Record<string, unknown> = {}
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes] }
    end += bytes
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  write(path, Buffer.concat([length, json]), tensors)
}

function plain({ name, shape }: WeightTensor): Filled {
  const bytes = shape.reduce((product, size) => product * size, 2)
  return { name, dtype: 'BF16', shape, bytes, pattern: plainPattern() }
}

/** Codes of 4 bits, scales and offsets for 64 inputs. */
function mlxTensors({ name, shape }: WeightTensor): Filled[] {
  const module = name.slice(0, name.lastIndexOf('.'))
  const [rows = 0, inputs = 0] = shape
  const halves = { dtype: 'BF16', shape: [rows, inputs / 64], bytes: (rows * inputs * 2) / 64, pattern: scalePattern() }
  return [
    { name: `${module}.biases`, ...halves },
    { name: `${module}.scales`, ...halves },
    {
      name: `${module}.weight`,
      dtype: 'U32',
      shape: [rows, inputs / 8],
      bytes: (rows * inputs) / 2,
      pattern: plainPattern(),
    },
  ]
}

/** Q4_K, with Q6_K where llama.cpp's recipe has it: the head, and V and down of about half the layers. */
function writeGguf(path: string, { config }: Shape): void {
  const spec = parseModelSpec(config)
  let offset = 0
  const tensors = weightPlan(spec).map(({ role, layer, shape }) => {
    const [rows = 0, inputs = 1] = shape
    const wider = role === 'embed' || ((role === 'v' || role === 'down') && (layer ?? 0) % 2 === 0)
    const type: GgmlName = shape.length === 1 ? 'f32' : wider ? 'q6_k' : 'q4_k'
    const { id, values, bytes } = GGML_TYPES[type]
    const size = ((rows * inputs) / values) * bytes
    const tensor = { name: ggufName(role as 'q', layer), shape, type: id, offset, bytes: alignTo(size, ALIGNMENT) }
    offset += tensor.bytes
    return { ...tensor, pattern: blockPattern(type) }
  })
  const metadata = Object.entries(ggufMetadata(spec))
  const head = ggufPrefix(tensors.length, metadata.length)
  for (const [key, value] of metadata) head.string(key).value(value)
  for (const tensor of tensors) head.tensor(tensor)
  write(path, head.pad(ALIGNMENT).bytes, tensors)
}

function ggufMetadata(spec: ModelSpec): Record<string, Typed> {
  return {
    'general.architecture': ['string', 'llama'],
    'llama.block_count': ['u32', spec.numLayers],
    'llama.context_length': ['u32', spec.maxPositions],
    'llama.embedding_length': ['u32', spec.hiddenSize],
    'llama.feed_forward_length': ['u32', spec.intermediateSize],
    'llama.attention.head_count': ['u32', spec.numHeads],
    'llama.attention.head_count_kv': ['u32', spec.numKvHeads],
    'llama.attention.layer_norm_rms_epsilon': ['f32', spec.rmsNormEps],
    'llama.rope.freq_base': ['f32', spec.ropes[0]?.theta ?? 0],
    'llama.rope.dimension_count': ['u32', spec.headDim],
    'llama.vocab_size': ['u32', spec.vocabSize],
  }
}

function write(path: string, head: Uint8Array, tensors: readonly Pick<Filled, 'bytes' | 'pattern'>[]): void {
  const file = openSync(path, 'w')
  writeSync(file, head)
  for (const { bytes, pattern } of tensors) {
    for (let done = 0; done < bytes; ) {
      done += writeSync(file, pattern.subarray(0, Math.min(pattern.length, bytes - done)))
    }
  }
  closeSync(file)
}
