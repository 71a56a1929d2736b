/**
 * A Qwen3 model and its tokenizer as a GGUF file, for llama.cpp (wllama). Matrices are f16, vectors f32, as in llama.cpp's own
 * conversion to F16.
 *
 * The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */

import { readFileSync } from 'node:fs'
import type { Checkpoint, Tensor } from './checkpoint.ts'

const VERSION = 3
const ALIGNMENT = 32
/** Types of metadata values. */
const [UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY] = [4, 5, 6, 7, 8, 9]
/** Types of tensors (enum ggml_type), and of the file (enum llama_ftype). */
const [GGML_F32, GGML_F16, MOSTLY_F16] = [0, 1, 1]
/** Types of tokens (enum llama_token_type). */
const [NORMAL, CONTROL] = [1, 3]

/** llama.cpp's names of the tensors of a block, by the checkpoint's. */
const BLOCK_NAMES: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_q_norm: 'self_attn.q_norm',
  attn_k_norm: 'self_attn.k_norm',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
}

/** @param tokenizer path of tokenizer.json */
export function ggufFile(checkpoint: Checkpoint, tokenizer: string): Uint8Array {
  const tensors = namedTensors(checkpoint)
  const entries = [...modelEntries(checkpoint), ...tokenizerEntries(tokenizer)]
  const file = new Writer().text('GGUF').uint32(VERSION).uint64(tensors.length).uint64(entries.length)
  for (const [key, type, value] of entries) file.string(key).uint32(type).value(type, value)
  let offset = 0
  for (const [name, tensor] of tensors) {
    const bytes = tensorBytes(tensor).length
    file.string(name).uint32(tensor.shape.length)
    // innermost first
    for (const size of [...tensor.shape].reverse()) file.uint64(size)
    file.uint32(tensor.shape.length > 1 ? GGML_F16 : GGML_F32).uint64(offset)
    offset += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT
  }
  file.align()
  for (const [, tensor] of tensors) file.bytes(tensorBytes(tensor)).align()
  return file.finish()
}

type Entry = readonly [key: string, type: number, value: unknown]

function modelEntries({ spec }: Checkpoint): Entry[] {
  const sizes: Readonly<Record<string, number>> = {
    context_length: spec.maxPositions,
    embedding_length: spec.hiddenSize,
    block_count: spec.numLayers,
    feed_forward_length: spec.intermediateSize,
    'attention.head_count': spec.numHeads,
    'attention.head_count_kv': spec.numKvHeads,
    'attention.key_length': spec.headDim,
    'attention.value_length': spec.headDim,
  }
  return [
    ['general.architecture', STRING, 'qwen3'],
    ['general.file_type', UINT32, MOSTLY_F16],
    ...Object.entries(sizes).map(([key, size]): Entry => [`qwen3.${key}`, UINT32, size]),
    ['qwen3.rope.freq_base', FLOAT32, spec.ropes[0]?.theta ?? 0],
    ['qwen3.attention.layer_norm_rms_epsilon', FLOAT32, spec.rmsNormEps],
  ]
}

interface TokenizerJson {
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>
    readonly merges: readonly (readonly [string, string])[]
  }
  readonly added_tokens: readonly { readonly id: number; readonly content: string }[]
}

function tokenizerEntries(path: string): Entry[] {
  const { model, added_tokens }: TokenizerJson = JSON.parse(readFileSync(path, 'utf8'))
  const tokens: string[] = []
  for (const [token, id] of Object.entries(model.vocab)) tokens[id] = token
  const types = tokens.map(() => NORMAL)
  for (const { id, content } of added_tokens) {
    tokens[id] = content
    types[id] = CONTROL
  }
  const end = tokens.indexOf('<|endoftext|>')
  return [
    ['tokenizer.ggml.model', STRING, 'gpt2'],
    ['tokenizer.ggml.pre', STRING, 'qwen2'],
    ['tokenizer.ggml.tokens', ARRAY, { type: STRING, values: tokens }],
    ['tokenizer.ggml.token_type', ARRAY, { type: INT32, values: types }],
    ['tokenizer.ggml.merges', ARRAY, { type: STRING, values: model.merges.map((pair) => pair.join(' ')) }],
    ['tokenizer.ggml.eos_token_id', UINT32, end],
    ['tokenizer.ggml.padding_token_id', UINT32, end],
    ['tokenizer.ggml.add_bos_token', BOOL, false],
  ]
}

function namedTensors({ spec, tensor }: Checkpoint): [name: string, tensor: Tensor][] {
  const blocks = Array.from({ length: spec.numLayers }, (_, layer) =>
    Object.entries(BLOCK_NAMES).map(([name, from]): [string, Tensor] => [
      `blk.${layer}.${name}.weight`,
      tensor(`model.layers.${layer}.${from}.weight`),
    ]),
  )
  // Without output.weight llama.cpp takes the embedding as the head.
  const head: [string, Tensor][] = spec.tiedEmbeddings ? [] : [['output.weight', tensor('lm_head.weight')]]
  const embed: [string, Tensor] = ['token_embd.weight', tensor('model.embed_tokens.weight')]
  return [embed, ...blocks.flat(), ['output_norm.weight', tensor('model.norm.weight')], ...head]
}

function tensorBytes({ shape, values }: Tensor): Uint8Array {
  if (shape.length === 1) return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  const halves = Uint16Array.from(values, toF16)
  return new Uint8Array(halves.buffer)
}

const scratch = new Float32Array(1)
const bits = new Uint32Array(scratch.buffer)

/** The nearest f16, ties to even. Values are weights: none is above 65504. */
function toF16(value: number): number {
  const sign = value < 0 ? 0x8000 : 0
  const magnitude = Math.abs(value)
  // Below 2⁻¹⁴ the f16s are multiples of 2⁻²⁴: adding 2⁻¹ to an f32 rounds it to those.
  scratch[0] = magnitude < 2 ** -14 ? magnitude + 0.5 : magnitude
  const word = bits[0] ?? 0
  if (magnitude < 2 ** -14) return sign | (word & 0x7ff)
  const rounded = word + 0xfff + ((word >> 13) & 1)
  return sign | ((rounded - (112 << 23)) >> 13)
}

/** Little-endian values one after the other. */
class Writer {
  readonly #parts: Uint8Array[] = []
  #size = 0

  bytes(part: Uint8Array): this {
    this.#parts.push(part)
    this.#size += part.length
    return this
  }

  text(text: string): this {
    return this.bytes(new TextEncoder().encode(text))
  }

  uint32(value: number): this {
    return this.bytes(new Uint8Array(Uint32Array.of(value).buffer))
  }

  uint64(value: number): this {
    return this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer))
  }

  string(text: string): this {
    const bytes = new TextEncoder().encode(text)
    return this.uint64(bytes.length).bytes(bytes)
  }

  value(type: number, value: unknown): this {
    if (type === STRING) return this.string(String(value))
    if (type === BOOL) return this.bytes(Uint8Array.of(value ? 1 : 0))
    if (type === FLOAT32) return this.bytes(new Uint8Array(Float32Array.of(Number(value)).buffer))
    if (type !== ARRAY) return this.uint32(Number(value))
    const array = value as { type: number; values: readonly unknown[] }
    this.uint32(array.type).uint64(array.values.length)
    for (const each of array.values) this.value(array.type, each)
    return this
  }

  align(): this {
    return this.bytes(new Uint8Array((ALIGNMENT - (this.#size % ALIGNMENT)) % ALIGNMENT))
  }

  finish(): Uint8Array {
    const file = new Uint8Array(this.#size)
    let end = 0
    for (const part of this.#parts) {
      file.set(part, end)
      end += part.length
    }
    return file
  }
}
