/** The model of the comparison as plain arrays, from which the peers' files are made. */

import { readFileSync } from 'node:fs'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import { decodeWeights, type WeightDtype } from '../../../src/weights/decode.ts'

export interface Tensor {
  readonly shape: readonly number[]
  /** row-major */
  readonly values: Float32Array
}

export interface Checkpoint {
  readonly spec: ModelSpec
  tensor(name: string): Tensor
}

interface HeaderEntry {
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data_offsets: readonly [begin: number, end: number]
}

/** @param folder of a checkpoint in one file */
export function readCheckpoint(folder: string): Checkpoint {
  const file = new Uint8Array(readFileSync(`${folder}/model.safetensors`))
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true))
  const header: Record<string, HeaderEntry> = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)))
  const data = file.subarray(8 + length)
  return {
    spec: parseModelSpec(JSON.parse(readFileSync(`${folder}/config.json`, 'utf8'))),
    tensor(name) {
      const entry = header[name]
      if (!entry) throw new Error(`${folder} has no tensor ${name}`)
      const { dtype, shape, data_offsets } = entry
      const values = new Float32Array(shape.reduce((product, size) => product * size, 1))
      decodeWeights(data.subarray(...data_offsets), dtype.toLowerCase() as WeightDtype, values)
      return { shape, values }
    },
  }
}
