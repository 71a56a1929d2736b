/** Where the tensors of a model are in a safetensors checkpoint: names, prefixes, fused matrices, and what must not be left out. */

import { describe, expect, it } from 'vitest'
import { type BoundTensor, bindTensors } from '../../../src/models/bindTensors.ts'
import { parseQuantisation } from '../../../src/models/checkpointQuantisation.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import { type TensorHeader, weightPlan } from '../../../src/models/weightNames.ts'
import { fixtureFolder } from '../../helpers/boundWeights.ts'
import { readBytes, readJson, readSafetensors, thrownBy } from '../../helpers/modelFiles.ts'

type Json = Record<string, unknown>
type Change = Readonly<Record<string, TensorHeader | undefined>>

const PLAIN = ['gemma2', 'gemma3', 'granite', 'llama', 'mimo', 'mistral', 'olmo2', 'phi3', 'smollm3']

const HEADERS = new Map<string, readonly [string, TensorHeader][]>()

function headersOf(fixture: string): Map<string, TensorHeader> {
  const read = () => Object.entries(readSafetensors(readBytes(fixtureFolder(fixture), 'model.safetensors')).header)
  const headers = HEADERS.get(fixture) ?? read()
  HEADERS.set(fixture, headers)
  return new Map(headers)
}

/** The fixture bound, with tensors added, replaced or (undefined) taken away. */
function bind(fixture: string, change: Change = {}, config: Json = {}): BoundTensor[] {
  const headers = headersOf(fixture)
  for (const [name, header] of Object.entries(change)) {
    if (header) headers.set(name, header)
    else headers.delete(name)
  }
  return bindHeaders(fixture, headers, config)
}

function bindHeaders(fixture: string, headers: ReadonlyMap<string, TensorHeader>, change: Json = {}): BoundTensor[] {
  const config = { ...readJson(fixtureFolder(fixture), 'config.json'), ...change }
  return bindTensors(parseModelSpec(config), parseQuantisation(config), headers)
}

function find(bound: readonly BoundTensor[], name: string): BoundTensor | undefined {
  return bound.find((tensor) => tensor.name === name)
}

async function refusal(action: () => unknown): Promise<string> {
  const { code, message } = await thrownBy(action)
  expect(code).toBe('MODEL_FORMAT')
  return message
}

const bf16 = (...shape: number[]): TensorHeader => ({ dtype: 'BF16', shape })

describe('the plan', () => {
  it.each(PLAIN)('of %s is bound in its order, and every tensor of the file is read', (fixture) => {
    const bound = bind(fixture)
    const config = readJson(fixtureFolder(fixture), 'config.json')
    expect(bound.map(({ name }) => name)).toEqual(weightPlan(parseModelSpec(config)).map(({ name }) => name))
    expect(new Set(bound.flatMap(({ files }) => files))).toEqual(new Set(headersOf(fixture).keys()))
    expect(new Set(bound.map(({ part, layer, role }) => `${part} ${layer} ${role}`)).size).toBe(bound.length)
  })

  it.each(PLAIN)('of %s needs each of its tensors, in its shape', async (fixture) => {
    const headers = headersOf(fixture)
    for (const [name, { shape }] of headers) {
      expect(await refusal(() => bind(fixture, { [name]: undefined }))).toContain('is missing')
      const other = bf16(...shape.slice(0, -1), (shape.at(-1) ?? 0) + 1)
      expect(await refusal(() => bind(fixture, { [name]: other }))).toContain(`${name} has shape`)
    }
  })

  it('keeps vectors as f32 and matrices as they are, each in its own type', () => {
    const bound = bind('llama', {
      'model.layers.1.self_attn.k_proj.weight': { dtype: 'F32', shape: [128, 128] },
      'model.layers.1.input_layernorm.weight': { dtype: 'F16', shape: [128] },
    })
    const formats = bound
      .filter(({ layer }) => layer === 1)
      .map(({ role, encoding, format }) => [role, encoding, format.codes])
    expect(formats).toContainEqual(['q', { kind: 'plain', dtype: 'bf16' }, 'bf16'])
    expect(formats).toContainEqual(['k', { kind: 'plain', dtype: 'f32' }, 'f32'])
    expect(formats).toContainEqual(['inputNorm', { kind: 'plain', dtype: 'f16' }, 'f32'])
  })

  it('adds 1 to the norms of Gemma, and to nothing else', () => {
    for (const fixture of PLAIN) {
      const added = bind(fixture).filter(({ add }) => add === 1)
      const norms = bind(fixture).filter(({ role }) => role.endsWith('Norm'))
      expect(added).toEqual(fixture.startsWith('gemma') ? norms : [])
    }
  })

  it('has the biases that the config asks for', () => {
    const biases = { 'q_proj.bias': 128, 'k_proj.bias': 128, 'v_proj.bias': 128, 'o_proj.bias': 128 }
    const change = Object.fromEntries(
      [0, 1].flatMap((layer) =>
        Object.entries(biases).map(([name, size]) => [`model.layers.${layer}.self_attn.${name}`, bf16(size)]),
      ),
    )
    const roles = bind('llama', change, { attention_bias: true }).map(({ role }) => role)
    expect(roles.filter((role) => role === 'oBias')).toHaveLength(2)
    expect(roles.filter((role) => role === 'qBias')).toHaveLength(2)
  })
})

describe('fused matrices', () => {
  it('are rows of one: queries, keys and values; gate and up', () => {
    const rows = bind('phi3')
      .filter(({ layer, shape }) => layer === 1 && shape.length === 2)
      .map(({ role, files, firstRow, fileRows, shape }) => [role, files[0]?.slice(15), firstRow, shape[0], fileRows])
    expect(rows).toEqual([
      ['q', 'self_attn.qkv_proj.weight', 0, 128, 256],
      ['k', 'self_attn.qkv_proj.weight', 128, 64, 256],
      ['v', 'self_attn.qkv_proj.weight', 192, 64, 256],
      ['o', 'self_attn.o_proj.weight', 0, 128, 128],
      ['gate', 'mlp.gate_up_proj.weight', 0, 256, 512],
      ['up', 'mlp.gate_up_proj.weight', 256, 256, 512],
      ['down', 'mlp.down_proj.weight', 0, 128, 128],
    ])
  })

  it('may stand as single ones, and a block has no both', async () => {
    const single: Change = {
      'model.layers.0.mlp.gate_up_proj.weight': undefined,
      'model.layers.0.mlp.gate_proj.weight': bf16(256, 128),
      'model.layers.0.mlp.up_proj.weight': bf16(256, 128),
    }
    expect(find(bind('phi3', single), 'model.layers.0.mlp.up_proj.weight')?.firstRow).toBe(0)
    const both = { ...single, 'model.layers.0.mlp.gate_up_proj.weight': bf16(512, 128) }
    expect(await refusal(() => bind('phi3', both))).toContain('gate_up_proj.weight is not part of a phi3 model')
  })

  it('of a family that has none are refused', async () => {
    const fused = { 'model.layers.0.self_attn.qkv_proj.weight': bf16(384, 128) }
    expect(await refusal(() => bind('llama', fused))).toContain('is not part of a llama model')
  })

  const DENSE_GRANITE = {
    model_type: 'granitemoehybrid',
    architectures: ['GraniteMoeHybridForCausalLM'],
    num_local_experts: 0,
    shared_intermediate_size: 256,
    position_embedding_type: 'rope',
    layer_types: ['attention', 'attention'],
  }

  it("of a dense Granite 4 are its shared MLP; mlx-lm's copies have them apart", () => {
    const shared = new Map(headersOf('granite'))
    for (const layer of [0, 1]) {
      for (const name of ['gate', 'up', 'down']) shared.delete(`model.layers.${layer}.mlp.${name}_proj.weight`)
      shared.set(`model.layers.${layer}.shared_mlp.input_linear.weight`, bf16(512, 128))
      shared.set(`model.layers.${layer}.shared_mlp.output_linear.weight`, bf16(128, 256))
    }
    const bound = bindHeaders('granite', shared, DENSE_GRANITE)
    const place = (name: string) => {
      const { files = [], firstRow, fileRows } = find(bound, `model.layers.1.mlp.${name}_proj.weight`) ?? {}
      return [files[0]?.slice(15), firstRow, fileRows]
    }
    expect(place('gate')).toEqual(['shared_mlp.input_linear.weight', 0, 512])
    expect(place('up')).toEqual(['shared_mlp.input_linear.weight', 256, 512])
    expect(place('down')).toEqual(['shared_mlp.output_linear.weight', 0, 128])
    expect(bindHeaders('granite', headersOf('granite'), DENSE_GRANITE)).toHaveLength(bound.length)
  })
})

describe('names of files', () => {
  it.each([
    ['language_model.', (name: string) => `language_model.${name}`],
    ['model.language_model.', (name: string) => name.replace(/^model\./, 'model.language_model.')],
    ['no model.', (name: string) => name.replace(/^model\./, '')],
  ])('may have the prefix of a wrapper or none: %s', (_, rename) => {
    for (const fixture of ['llama', 'gemma3', 'qwen2-mlx-mixed']) {
      const renamed = new Map([...headersOf(fixture)].map(([name, header]) => [rename(name), header]))
      renamed.set('vision_tower.encoder.layers.99.mlp.fc1.weight', bf16(8, 8))
      renamed.set('model.visual.blocks.0.attn.qkv.weight', bf16(8, 8))
      const bound = bindHeaders(fixture, renamed)
      expect(bound.map(({ files, ...rest }) => [files.map((name) => name.replace(rename(name), name)), rest])).toEqual(
        bind(fixture).map(({ files, ...rest }) => [files.map(rename), rest]),
      )
    }
  })

  it('must not be of two tensors', async () => {
    const twice = { 'language_model.model.norm.weight': bf16(128) }
    expect(await refusal(() => bind('llama', twice))).toContain('would be model.norm.weight, and so would')
  })

  it('a tied model ignores its head, and takes it where it has no embeddings', () => {
    const head = { 'lm_head.weight': bf16(384, 128) }
    expect(find(bind('smollm3', head), 'model.embed_tokens.weight')?.files).toEqual(['model.embed_tokens.weight'])
    const alone = bind('smollm3', { ...head, 'model.embed_tokens.weight': undefined })
    expect(find(alone, 'model.embed_tokens.weight')?.files).toEqual(['lm_head.weight'])
    expect(alone.some(({ role }) => role === 'lmHead')).toBe(false)
  })

  it('an untied model needs both', async () => {
    expect(await refusal(() => bind('llama', { 'lm_head.weight': undefined }))).toContain('lm_head.weight is missing')
    expect(await refusal(() => bind('llama', { 'model.embed_tokens.weight': undefined }))).toContain('embed_tokens')
  })
})

describe('what would be left out', () => {
  it.each([
    ['llama', 'model.layers.1.self_attn.q_proj.bias'],
    ['llama', 'model.layers.1.self_attn.q_norm.weight'],
    ['llama', 'model.layers.0.mlp.down_proj.weight_scale'],
    ['llama', 'model.layers.0.block_sparse_moe.gate.weight'],
    ['llama', 'model.layers.0.pre_feedforward_layernorm.weight'],
    ['llama', 'lm_head.bias'],
    ['llama', 'model.norm.bias'],
    ['smollm3', 'model.embed_tokens.lora_embedding_A'],
    ['mimo', 'model.mtp_layers.0.self_attn.k_norm.weight'],
  ])('of %s is refused: %s', async (fixture, name) => {
    expect(await refusal(() => bind(fixture, { [name]: bf16(128) }))).toContain(`tensor ${name} is not part of a`)
  })

  it('is refused past the last layer', async () => {
    const message = await refusal(() => bind('llama', { 'model.layers.2.mlp.up_proj.weight': bf16(352, 128) }))
    expect(message).toContain('is past the last layer; config.json says num_hidden_layers is 2')
  })

  it('does no harm: frequencies of old checkpoints, a drafter nobody knows, the tower of images', () => {
    const harmless = {
      'model.layers.0.self_attn.rotary_emb.inv_freq': { dtype: 'F32', shape: [16] },
      'mtp.fc.weight': bf16(128, 256),
      'model.mtp_layers.0.input_proj.weight': bf16(128, 256),
      'multi_modal_projector.linear.weight': bf16(128, 8),
    }
    expect(bind('llama', harmless)).toEqual(bind('llama'))
  })
})
