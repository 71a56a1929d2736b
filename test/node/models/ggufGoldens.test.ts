/**
 * GGUF files against an independent implementation: config, names, row order and norms of each fixture go through the float64 forward
 * pass, and its logits are those of the golden file.
 */

import { describe, expect, it } from 'vitest'
import { ggufConfig } from '../../../src/models/ggufConfig.ts'
import { ggufName, ggufRewrites } from '../../../src/models/ggufNames.ts'
import { configTensors } from '../../../src/models/ggufRope.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import type { WeightRole } from '../../../src/models/weightNames.ts'
import { at } from '../../../src/util/math.ts'
import { decodeRows } from '../../../src/weights/decodeRows.ts'
import { dequantiseRows } from '../../../src/weights/dequantise.ts'
import type { Encoding, GgmlType } from '../../../src/weights/encoding.ts'
import { unpaired } from '../../../src/weights/rowSlices.ts'
import { GGUF_FIXTURES } from '../../helpers/folderFetch.ts'
import { FULL } from '../../helpers/full.ts'
import { ggufFixture, parsedGguf } from '../../helpers/ggufWriter.ts'
import { bindingIds, type Golden } from '../../helpers/golden.ts'
import { referencePass } from '../../helpers/modelReference.ts'

const PLAIN: readonly string[] = ['f32', 'f16', 'bf16']

/** The f32 values of a file's tensors by name. */
function tensorValues(file: Uint8Array): (name: string) => Float32Array {
  const { tensors, dataStart } = parsedGguf(file)
  return (name) => {
    const found = tensors.find((tensor) => tensor.name === name)
    if (!found) throw new Error(`no tensor ${name}`)
    const { type, shape, offset, bytes } = found
    const columns = at(shape, shape.length - 1)
    const rows = shape.length === 1 ? 1 : at(shape, 0)
    const encoding = PLAIN.includes(type)
      ? ({ kind: 'plain', dtype: type } as Encoding)
      : ({ kind: 'ggml', type: type as GgmlType } as const)
    const data = file.subarray(dataStart + offset, dataStart + offset + bytes)
    const values = new Float32Array(rows * columns)
    dequantiseRows(decodeRows(encoding, [data], rows, columns), values)
    return values
  }
}

const IN_PAIRS: readonly WeightRole[] = ['q', 'k', 'qBias', 'kBias']

describe.each(GGUF_FIXTURES)('%s', (name) => {
  const { file, golden: read } = ggufFixture(name)
  const golden = read as unknown as Golden
  const { metadata, tensors } = parsedGguf(file)
  const valuesOf = tensorValues(file)
  const values = new Map(configTensors(tensors).map((tensor) => [tensor, valuesOf(tensor)]))
  const spec = parseModelSpec(ggufConfig(metadata, tensors, values))
  const { permutedRows } = ggufRewrites(String(metadata.get('general.architecture')))

  const weights = (role: WeightRole, layer?: number): Float32Array => {
    if (role === 'fc' || role === 'embedNorm' || role === 'hiddenNorm') throw new Error('no drafter')
    const inFile = valuesOf(ggufName(role, layer))
    if (!permutedRows || !IN_PAIRS.includes(role)) return inFile
    const rows = (role.startsWith('q') ? spec.numHeads : spec.numKvHeads) * spec.headDim
    const width = inFile.length / rows
    const model = new Float32Array(inFile.length)
    for (let row = 0; row < rows; row++) {
      model.set(inFile.subarray(row * width, (row + 1) * width), unpaired(row, spec.headDim) * width)
    }
    return model
  }
  const kept = new Map<string, Float32Array>()
  const once = (role: WeightRole, layer?: number): Float32Array => {
    const key = `${layer} ${role}`
    const found = kept.get(key) ?? weights(role, layer)
    kept.set(key, found)
    return found
  }

  it('has the ids and logits of the golden file', () => {
    const tolerance = golden.tolerance.kv_exact
    for (const { prompt_ids, kv_exact: expected } of FULL ? golden.cases : golden.cases.slice(-1)) {
      const ids = bindingIds(expected.greedy_ids, expected.greedy_gap, tolerance.gap)
      const all = [...prompt_ids, ...ids.slice(0, -1)]
      const pass = referencePass(spec, once, all, { maxModelLen: spec.maxPositions })
      const last = prompt_ids.length - 1
      const logits = pass.logits(last)
      for (const [id, logit] of expected.last_logits_top8) {
        expect(Math.abs(at(logits, id) - logit), `logit of ${id}`).toBeLessThanOrEqual(tolerance.logits)
      }
      const greedy = ids.map((_, i) => {
        const row = pass.logits(last + i)
        return row.indexOf(Math.max(...row))
      })
      expect(greedy).toEqual(ids)
    }
  })
})
