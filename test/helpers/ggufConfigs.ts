/** Configs of GGUF files: of the fixtures, and of what llama.cpp's converter would write for a config.json. */

import { ggufConfig } from '../../src/models/ggufConfig.ts'
import type { GgufMetadata, GgufTensor, GgufValue } from '../../src/models/ggufFields.ts'
import { configTensors } from '../../src/models/ggufRope.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { fixtureFolder } from './boundWeights.ts'
import { parsedGguf } from './ggufWriter.ts'
import { readJson } from './modelFiles.ts'

export type Config = Readonly<Record<string, unknown>>

/** Fields of config.json that GGUF does not have: ids of another vocabulary, the dtype, a window that is off. */
const NOT_IN_FILE = ['eos_token_id', 'bos_token_id', 'torch_dtype', 'use_cache']
/** Defaults of config.json, per model_type where they differ. */
export const DEFAULTS: Config = {
  rope_scaling: null,
  tie_word_embeddings: false,
  mlp_bias: false,
  position_embedding_type: 'rope',
}
const TIED = ['gemma2', 'gemma3_text']

/** Config with its defaults filled in, without what GGUF cannot say. */
export function comparable(config: Config): Record<string, unknown> {
  const tied = TIED.includes(String(config.model_type)) ? { tie_word_embeddings: true } : {}
  const headDim = Number(config.hidden_size) / Number(config.num_attention_heads)
  const filled = { ...DEFAULTS, ...tied, head_dim: headDim, ...config }
  const entries = Object.entries(filled).filter(([name]) => !NOT_IN_FILE.includes(name))
  return Object.fromEntries(entries)
}

/** Without what GGUF cannot say. */
export function withoutIds(spec: ModelSpec): ModelSpec {
  return { ...spec, eosTokenIds: [], bosTokenId: undefined, mtp: undefined }
}

/** The f32 values of the tensors that the config needs, read from the file. */
export function valuesOf(file: Uint8Array): Map<string, Float32Array> {
  const { tensors, dataStart } = parsedGguf(file)
  const names = configTensors(tensors)
  return new Map(
    tensors
      .filter(({ name }) => names.includes(name))
      .map(({ name, offset, bytes }) => {
        const start = dataStart + offset
        return [name, new Float32Array(file.slice(start, start + bytes).buffer)] as const
      }),
  )
}

export function configOf(file: Uint8Array): Config {
  const { metadata, tensors } = parsedGguf(file)
  return ggufConfig(metadata, tensors, valuesOf(file))
}

/** What llama.cpp's converter writes for a config.json: keys, and the tensors that say something. */
export function converted(
  name: string,
  config: Config,
  own: Readonly<Record<string, GgufValue>> = {},
  tensorNames: readonly string[] = [],
): [GgufMetadata, GgufTensor[]] {
  const keys: Record<string, unknown> = {
    block_count: config.num_hidden_layers,
    context_length: config.max_position_embeddings,
    embedding_length: config.hidden_size,
    feed_forward_length: config.intermediate_size,
    'attention.head_count': config.num_attention_heads,
    'attention.head_count_kv': config.num_key_value_heads,
    'attention.key_length': config.head_dim,
    'attention.value_length': config.head_dim,
    'attention.layer_norm_rms_epsilon': Math.fround(Number(config.rms_norm_eps)),
    'rope.freq_base': Math.fround(Number(config.rope_theta)),
    ...own,
  }
  const entries = Object.entries(keys).filter(([, value]) => value !== undefined)
  const metadata = new Map(entries.map(([key, value]) => [`${name}.${key}`, value as GgufValue]))
  metadata.set('general.architecture', name)
  const tied = config.tie_word_embeddings ?? TIED.includes(String(config.model_type))
  const all = [
    'blk.0.ffn_down.weight',
    'blk.1.ffn_down.weight',
    'a',
    'b',
    'c',
    ...(tied ? [] : ['output.weight']),
    ...tensorNames,
  ]
  const tensors = all.map((tensor) => ({ name: tensor, shape: [12], type: 'f32', offset: 0, bytes: 48 }))
  tensors.push({ name: 'token_embd.weight', shape: [Number(config.vocab_size), 8], type: 'f32', offset: 0, bytes: 0 })
  return [metadata, tensors]
}

/** The config.json of a fixture. */
export const fixtureConfig = (name: string): Config => readJson(fixtureFolder(name), 'config.json')
