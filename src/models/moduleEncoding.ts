/**
 * How the files hold one module of a safetensors checkpoint: plain, or as MLX, GPTQ or AWQ quantise it. Config and header must agree.
 * Byte layouts are in src/weights. It must never know roles.
 */

import type { Encoding } from '../weights/encoding.ts'
import type { CheckpointQuantisation, MlxParameters } from './checkpointQuantisation.ts'
import { type CheckpointTensor, type CheckpointTensors, refuseTensor } from './checkpointTensors.ts'

/** The tensors of a module, in the order of their encoding. */
export interface StoredModule {
  readonly encoding: Encoding
  readonly files: readonly string[]
}

/** A module by its name in the weight plan. */
export interface Module {
  readonly tensors: CheckpointTensors
  readonly name: string
  /** completes the message if one of its tensors is missing */
  readonly why: string
}

const PLAIN_DTYPES = { BF16: 'bf16', F16: 'f16', F32: 'f32' } as const

/** `suffix` is weight or bias. @throws MODEL_FORMAT naming the tensor */
export function plainTensor(module: Module, suffix: string, shape: readonly number[]): StoredModule {
  const found = take(module, suffix, shape, Object.keys(PLAIN_DTYPES))
  const dtype = PLAIN_DTYPES[found.dtype as keyof typeof PLAIN_DTYPES]
  return { encoding: { kind: 'plain', dtype }, files: [found.fileName] }
}

/** A matrix of [rows][inputs]. @throws MODEL_FORMAT naming the tensor */
export function storedMatrix(
  quantisation: CheckpointQuantisation,
  module: Module,
  rows: number,
  inputs: number,
): StoredModule {
  const { tensors, name } = module
  const has = (suffix: string) => tensors.has(`${name}.${suffix}`)
  switch (quantisation.kind) {
    case 'mlx': {
      const entry = mlxEntry(quantisation, module)
      if (entry === false && has('scales')) refuseTensor(`${name}.scales`, 'is there, but quantization says false')
      if (entry || has('scales')) return mlxMatrix(module, entry || quantisation.usual, rows, inputs)
      break
    }
    case 'gptq':
    case 'awq':
      // Which modules stay as they were, their tensors tell: the lists in config.json are not complete.
      if (has('qweight')) return packedMatrix(quantisation, module, rows, inputs)
      break
    case 'none':
  }
  return plainTensor(module, 'weight', [rows, inputs])
}

type Mlx = Extract<CheckpointQuantisation, { kind: 'mlx' }>

/** What the config says of the module, by its name in the files or in the weight plan. */
function mlxEntry({ modules }: Mlx, { tensors, name }: Module): MlxParameters | false | undefined {
  const fileName = tensors.fileName(`${name}.weight`)?.replace(/\.weight$/, '')
  return modules.get(fileName ?? name) ?? modules.get(name)
}

function mlxMatrix(module: Module, { bits, group }: MlxParameters, rows: number, inputs: number): StoredModule {
  if (inputs % group !== 0) refuseTensor(`${module.name}.scales`, `cannot have groups of ${group}: a row has ${inputs}`)
  const codes = take(module, 'weight', [rows, (inputs * bits) / 32], ['U32'])
  const scales = take(module, 'scales', [rows, inputs / group], ['BF16', 'F16'])
  const offsets = take(module, 'biases', [rows, inputs / group], [scales.dtype])
  const halves = scales.dtype === 'BF16' ? 'bf16' : 'f16'
  return { encoding: { kind: 'mlx', bits, group, halves }, files: names(codes, scales, offsets) }
}

type Packed = Extract<CheckpointQuantisation, { kind: 'gptq' | 'awq' }>

/** GPTQ packs eight inputs into a word, AWQ eight outputs. */
function packedMatrix(quantisation: Packed, module: Module, rows: number, inputs: number): StoredModule {
  const { kind, group } = quantisation
  if (inputs % group !== 0 || rows % 8 !== 0) {
    refuseTensor(
      `${module.name}.qweight`,
      `cannot have groups of ${group}: it is of ${inputs} inputs and ${rows} outputs`,
    )
  }
  const groups = inputs / group
  const codes = take(module, 'qweight', kind === 'gptq' ? [inputs / 8, rows] : [inputs, rows / 8], ['I32'])
  const zeros = take(module, 'qzeros', [groups, rows / 8], ['I32'])
  const scales = take(module, 'scales', [groups, rows], ['F16'])
  const encoding: Encoding = kind === 'gptq' ? { kind, group, zeros: quantisation.zeros } : { kind, group }
  return { encoding, files: names(codes, zeros, scales) }
}

function take(
  { tensors, name, why }: Module,
  suffix: string,
  shape: readonly number[],
  dtypes: readonly string[],
): CheckpointTensor {
  return tensors.take(`${name}.${suffix}`, shape, dtypes, why)
}

function names(...tensors: readonly CheckpointTensor[]): string[] {
  return tensors.map(({ fileName }) => fileName)
}
