/** The values of a checkpoint's tensors by role, as bound from its header: how a backend would read them, slow and whole. */

import { type BoundTensor, bindTensors } from '../../src/models/bindTensors.ts'
import { parseQuantisation } from '../../src/models/checkpointQuantisation.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../src/models/readConfig.ts'
import { decodeRows } from '../../src/weights/decodeRows.ts'
import { dequantiseRows } from '../../src/weights/dequantise.ts'
import { type PlainSafetensors, readBytes, readJson, readSafetensors } from './modelFiles.ts'
import type { ReferenceWeights } from './modelReference.ts'

/** qwen3-mtp is also served beside the page. */
export function fixtureFolder(name: string): URL {
  const folder = name === 'qwen3-mtp' ? '../../public/models' : '../fixtures'
  return new URL(`${folder}/${name}/`, import.meta.url)
}

/** A fixture of safetensors files, its weights by role. */
export function readFixture(name: string): { spec: ModelSpec; weights: ReferenceWeights } {
  const folder = fixtureFolder(name)
  const config = readJson(folder, 'config.json')
  const spec = parseModelSpec(config)
  const file = readSafetensors(readBytes(folder, 'model.safetensors'))
  const bound = bindTensors(spec, parseQuantisation(config), new Map(Object.entries(file.header)))
  return { spec, weights: weightsOf(bound, file) }
}

function weightsOf(bound: readonly BoundTensor[], file: PlainSafetensors): ReferenceWeights {
  const values = new Map<string, Float32Array>()
  for (const tensor of bound) {
    if (tensor.part === 'model') values.set(`${tensor.layer} ${tensor.role}`, valuesOf(tensor, file))
  }
  return (role, layer) => {
    const found = values.get(`${layer} ${role}`)
    if (!found) throw new Error(`no ${role} of layer ${layer}`)
    return found
  }
}

function valuesOf(
  { files, encoding, shape, firstRow, fileRows, add }: BoundTensor,
  file: PlainSafetensors,
): Float32Array {
  const [rows = 0, inputs] = shape
  const data = files.map((name) => {
    const [begin, end] = file.header[name]?.data_offsets ?? []
    return file.data.slice(begin, end)
  })
  const width = inputs ?? rows
  const whole = new Float32Array(fileRows * width)
  dequantiseRows(decodeRows(encoding, data, fileRows, width), whole)
  const own = whole.subarray(firstRow * width, (firstRow + (inputs === undefined ? 1 : rows)) * width)
  return add === 0 ? own : own.map((value) => value + add)
}
