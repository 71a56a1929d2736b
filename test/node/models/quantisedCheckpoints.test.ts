/** MLX, GPTQ and AWQ checkpoints: what config.json says of them and what their tensors say must agree. */

import { describe, expect, it } from 'vitest'
import { type BoundTensor, bindTensors } from '../../../src/models/bindTensors.ts'
import { parseQuantisation } from '../../../src/models/checkpointQuantisation.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import type { TensorHeader } from '../../../src/models/weightNames.ts'
import { formatName } from '../../../src/weights/format.ts'
import { fixtureFolder } from '../../helpers/boundWeights.ts'
import { readBytes, readJson, readSafetensors, thrownBy } from '../../helpers/modelFiles.ts'

type Json = Record<string, unknown>

function configOf(fixture: string): Json {
  return readJson(fixtureFolder(fixture), 'config.json')
}

interface Changes {
  readonly tensors?: Readonly<Record<string, TensorHeader | undefined>>
  /** of `quantization` or `quantization_config` */
  readonly said?: Json
}

function bind(fixture: string, { tensors = {}, said = {} }: Changes = {}): BoundTensor[] {
  const headers = new Map<string, TensorHeader>(
    Object.entries(readSafetensors(readBytes(fixtureFolder(fixture), 'model.safetensors')).header),
  )
  for (const [name, header] of Object.entries(tensors)) {
    if (header) headers.set(name, header)
    else headers.delete(name)
  }
  const config = configOf(fixture)
  const field = config.quantization ? 'quantization' : 'quantization_config'
  const changed = { ...config, [field]: { ...(config[field] as Json), ...said } }
  return bindTensors(parseModelSpec(changed), parseQuantisation(changed), headers)
}

function find(bound: readonly BoundTensor[], module: string): BoundTensor | undefined {
  return bound.find(({ name }) => name === `model.${module}.weight`)
}

async function refusal(action: () => unknown): Promise<string> {
  const { code, message } = await thrownBy(action)
  expect(code).toBe('MODEL_FORMAT')
  return message
}

const LAYER = 'model.layers.1'

describe('MLX', () => {
  it('has codes, scales and offsets of each matrix, in the format of the module', () => {
    const bound = bind('qwen2-mlx-mixed')
    const formats = (module: string) => {
      const { files = [], format } = find(bound, module) ?? {}
      return [files.map((name) => name.split('.').at(-1)), format && formatName(format)]
    }
    const three = ['weight', 'scales', 'biases']
    expect(formats('embed_tokens')).toEqual([three, 'u8 g64 offset'])
    expect(formats('layers.0.mlp.down_proj')).toEqual([three, 'u8 g32 offset'])
    expect(formats('layers.1.mlp.down_proj')).toEqual([three, 'u4 g32 offset'])
    expect(formats('layers.1.self_attn.v_proj')).toEqual([three, 'u8 g64 offset'])
    expect(formats('layers.1.mlp.gate_proj')).toEqual([three, 'u4 g64 offset'])
    expect(formats('layers.0.self_attn.o_proj')).toEqual([['weight'], 'f16'])
    const bias = bound.find(({ role, layer }) => role === 'kBias' && layer === 1)
    expect(bias).toMatchObject({ files: [`${LAYER}.self_attn.k_proj.bias`], format: { codes: 'f32' } })
    const bf16 = find(bind('qwen3-mlx-4bit'), 'layers.1.mlp.down_proj')
    expect(bf16?.encoding).toEqual({ kind: 'mlx', bits: 4, group: 64, halves: 'bf16' })
  })

  it('leaves plain what has no scales, unless the config names it', async () => {
    const tensors = {
      [`${LAYER}.mlp.up_proj.weight`]: { dtype: 'F16', shape: [320, 192] },
      [`${LAYER}.mlp.up_proj.scales`]: undefined,
      [`${LAYER}.mlp.up_proj.biases`]: undefined,
    }
    expect(find(bind('qwen2-mlx-mixed', { tensors }), 'layers.1.mlp.up_proj')?.encoding.kind).toBe('plain')
    const said = { [`${LAYER}.mlp.up_proj`]: { bits: 4, group_size: 32 } }
    expect(await refusal(() => bind('qwen2-mlx-mixed', { tensors, said }))).toContain('up_proj.weight has dtype F16')
  })

  it('may say it in quantization_config alone', () => {
    const { quantization, ...config } = configOf('qwen3-mlx-4bit')
    expect(parseQuantisation(config)).toEqual(parseQuantisation({ quantization }))
    expect(parseQuantisation(config)).toMatchObject({ kind: 'mlx', usual: { bits: 4, group: 64 } })
  })

  it('has overrides by the names of the files', () => {
    const rename = (name: string) => `language_model.${name}`
    const file = readSafetensors(readBytes(fixtureFolder('qwen2-mlx-mixed'), 'model.safetensors')).header
    const headers = new Map(Object.entries(file).map(([name, header]) => [rename(name), header]))
    const config = configOf('qwen2-mlx-mixed')
    const said = Object.entries(config.quantization as Json).map(([name, value]) => {
      return [name.startsWith('model.') ? rename(name) : name, value]
    })
    const quantisation = parseQuantisation({ quantization: Object.fromEntries(said) })
    const bound = bindTensors(parseModelSpec(config), quantisation, headers)
    expect(bound.map(({ format }) => format)).toEqual(bind('qwen2-mlx-mixed').map(({ format }) => format))
  })

  const u32 = (...shape: number[]): TensorHeader => ({ dtype: 'U32', shape })
  const refused: readonly [string, Changes, string][] = [
    [
      'other bits than its codes',
      { said: { bits: 8 } },
      'q_proj.weight has shape [192, 24], config.json asks for [192, 48]',
    ],
    ['another group than its scales', { said: { group_size: 64 } }, 'scales has shape'],
    [
      'false, but scales',
      { said: { [`${LAYER}.mlp.up_proj`]: false } },
      'up_proj.scales is there, but quantization says false',
    ],
    [
      'a group that a row does not have',
      { said: { [`${LAYER}.mlp.up_proj`]: { bits: 4, group_size: 128 } } },
      'groups of 128',
    ],
    ['no offsets', { tensors: { [`${LAYER}.mlp.up_proj.biases`]: undefined } }, 'up_proj.biases is missing'],
    [
      'scales of f32',
      { tensors: { [`${LAYER}.mlp.up_proj.scales`]: { dtype: 'F32', shape: [320, 6] } } },
      'dtype F32; supported: BF16, F16',
    ],
    [
      'scales and offsets of two types',
      { tensors: { [`${LAYER}.mlp.up_proj.biases`]: { dtype: 'BF16', shape: [320, 6] } } },
      'supported: F16',
    ],
    [
      'codes in I32',
      { tensors: { [`${LAYER}.mlp.up_proj.weight`]: { dtype: 'I32', shape: [320, 24] } } },
      'supported: U32',
    ],
    ['a stray bias', { tensors: { [`${LAYER}.mlp.up_proj.bias`]: u32(320) } }, 'up_proj.bias is not part of'],
    ['3 bits', { said: { bits: 3 } }, 'bits is 3; supported: 4, 8; use the BF16'],
    ['6 bits of a module', { said: { [`${LAYER}.mlp.up_proj`]: { bits: 6, group_size: 64 } } }, 'bits is 6'],
    ['mxfp4', { said: { mode: 'mxfp4' } }, 'mode is "mxfp4"; supported: "affine"; use the BF16'],
    ['a group of 16', { said: { group_size: 16 } }, 'group_size is 16; supported: 32, 64, 128'],
    ['no object', { said: { [`${LAYER}.mlp.up_proj`]: 4 } }, 'expected a JSON object'],
  ]
  it.each(refused)('is refused with %s', async (_, change, message) => {
    expect(await refusal(() => bind('qwen2-mlx-mixed', change))).toContain(message)
  })

  it('is refused where the config has another method beside it', async () => {
    const config = { quantization: { bits: 4 }, quantization_config: { quant_method: 'gptq' } }
    expect(await refusal(() => parseQuantisation(config))).toContain('quantization_config is of "gptq"')
  })
})

describe.each([
  ['GPTQ', 'llama-gptq-g128', { kind: 'gptq', group: 128, zeros: 'less one' }],
  ['GPTQ without symmetry', 'qwen2-gptq-asym', { kind: 'gptq', group: 64, zeros: 'less one' }],
  ['AWQ', 'llama-awq-g128', { kind: 'awq', group: 128 }],
])('%s', (_, fixture, encoding) => {
  it('has codes, zero points and scales of the matrices in blocks; the rest is plain', () => {
    for (const { files, role, layer, shape, encoding: found } of bind(fixture)) {
      if (layer === undefined || shape.length === 1) expect(found).toEqual({ kind: 'plain', dtype: 'f16' })
      else
        expect([found, files.map((name) => name.split('.').at(-1))], role).toEqual([
          encoding,
          ['qweight', 'qzeros', 'scales'],
        ])
    }
  })

  it('needs each of them, in its shape and type', async () => {
    for (const part of ['qweight', 'qzeros', 'scales']) {
      const name = `${LAYER}.mlp.down_proj.${part}`
      const missing = await refusal(() => bind(fixture, { tensors: { [name]: undefined } }))
      expect(missing).toContain(part === 'qweight' ? 'down_proj.weight is missing' : `${name} is missing`)
      for (const other of [
        { dtype: 'I32', shape: [8, 8] },
        { dtype: 'U8', shape: [8, 8] },
      ]) {
        expect(await refusal(() => bind(fixture, { tensors: { [name]: other } }))).toContain(`tensor ${name} has`)
      }
    }
  })
})

describe('GPTQ', () => {
  it('of the second format has zero points as they are', () => {
    const bound = bind('llama-gptq-g128', { said: { checkpoint_format: 'gptq_v2' } })
    expect(find(bound, 'layers.1.mlp.up_proj')?.encoding).toMatchObject({ zeros: 'as they are' })
  })

  it('may have a bias of zeros beside any matrix; other methods may not', async () => {
    const tensors = { [`${LAYER}.mlp.up_proj.bias`]: { dtype: 'F16', shape: [384] } }
    expect(bind('llama-gptq-g128', { tensors })).toEqual(bind('llama-gptq-g128'))
    expect(await refusal(() => bind('llama-awq-g128', { tensors }))).toContain('up_proj.bias is not part of')
  })
})

describe('quantization_config', () => {
  const GPTQ = { quant_method: 'gptq', bits: 4, group_size: 128 }
  const AWQ = { quant_method: 'awq', bits: 4, group_size: 128 }

  it('of AWQ may spell its fields as its own tool does', () => {
    const own = { quant_method: 'awq', w_bit: 4, q_group_size: 64, version: 'GEMM', zero_point: true }
    expect(parseQuantisation({ quantization_config: own })).toEqual({ kind: 'awq', group: 64 })
  })

  it.each([
    [{ ...GPTQ, desc_act: true }, 'desc_act is true; reordered inputs'],
    [{ ...GPTQ, bits: 8 }, 'bits is 8; supported: 4'],
    [{ ...GPTQ, group_size: -1 }, 'group_size is -1'],
    [{ ...GPTQ, checkpoint_format: 'marlin' }, 'checkpoint_format is "marlin"'],
    [{ ...GPTQ, is_marlin_format: true }, 'is_marlin_format is true'],
    [{ ...GPTQ, dynamic: { '-:.*down.*': {} } }, 'formats by module'],
    [{ ...AWQ, version: 'gemv' }, 'version is "gemv"; supported: "gemm"'],
    [{ ...AWQ, zero_point: false }, 'zero_point is false'],
    [{ quant_method: 'fp8' }, 'quant_method is "fp8"; supported: "gptq", "awq" and MLX'],
    [{ quant_method: 'compressed-tensors' }, 'use the BF16, MLX (4 or 8 bit) or GGUF files of this model'],
    [{ quant_method: 'bitsandbytes', load_in_4bit: true }, 'quant_method is "bitsandbytes"'],
    [{}, 'quant_method is missing'],
    ['gptq', 'expected a JSON object'],
  ])('%j is refused', async (quantization_config, message) => {
    expect(await refusal(() => parseQuantisation({ quantization_config }))).toContain(message)
    const config = { ...configOf('llama'), quantization_config }
    expect(await refusal(() => parseModelSpec(config))).toContain(message)
    const wrapped = { model_type: 'mistral3', text_config: { quantization_config } }
    expect(await refusal(() => parseQuantisation(wrapped))).toContain(message)
  })
})
