/**
 * Every family's config and names against an independent implementation: what parseModelSpec and bindTensors make of a fixture goes
 * through the float64 forward pass, and its numbers are those of the golden file.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { at } from '../../../src/util/math.ts'
import { decodeF16 } from '../../../src/weights/decode.ts'
import { encodeF16 } from '../../../src/weights/encodeF16.ts'
import { fixtureFolder, readFixture } from '../../helpers/boundWeights.ts'
import type { ModelName } from '../../helpers/folderFetch.ts'
import { FULL } from '../../helpers/full.ts'
import { bindingIds, type Golden, loadGolden } from '../../helpers/golden.ts'
import { type ReferencePass, referencePass, rowOf } from '../../helpers/modelReference.ts'

/** Those of safetensors files. */
const FIXTURES = readdirSync(new URL('../../fixtures/', import.meta.url)).filter((name) =>
  existsSync(new URL('model.safetensors', fixtureFolder(name))),
)

/** Some are beside their fixture, some in a folder for all. */
function readGolden(name: string): Golden {
  const beside = new URL('golden.json', fixtureFolder(name))
  return existsSync(beside) ? JSON.parse(readFileSync(beside, 'utf8')) : loadGolden(name as ModelName)
}

const CACHES = [
  ['kv_exact', (value: number) => value],
  ['kv_f16', (value: number) => decodeF16(encodeF16(value))],
] as const

it('every safetensors fixture is here', () => {
  expect(FIXTURES.length).toBeGreaterThanOrEqual(20)
})

describe.each(FIXTURES)('%s', (name) => {
  const golden = readGolden(name)
  const { spec, weights } = readFixture(name)

  it.each(FULL ? CACHES : CACHES.slice(0, 1))('has the ids, logits and norms of %s', (kind, stored) => {
    const tolerance = golden.tolerance[kind]
    // The fourth prompt, of 40 tokens, and its answer pass every window.
    for (const { prompt_ids, [kind]: expected } of FULL ? golden.cases : golden.cases.slice(3, 4)) {
      const ids = bindingIds(expected.greedy_ids, expected.greedy_gap, tolerance.gap)
      const all = [...prompt_ids, ...ids.slice(0, -1)]
      const pass = referencePass(spec, weights, all, { maxModelLen: spec.maxPositions, stored })
      const last = prompt_ids.length - 1

      const logits = pass.logits(last)
      for (const [id, logit] of expected.last_logits_top8) near(at(logits, id), logit, tolerance.logits)
      near(logSumExp(logits), expected.last_logits_logsumexp, tolerance.logits)
      const norms = pass.layerOutputs.map((output) => norm(rowOf(output, last)))
      expect(norms).toHaveLength(expected.layer_output_l2.length)
      for (const [layer, l2] of norms.entries()) near(l2 / at(expected.layer_output_l2, layer), 1, tolerance.logits)
      near(norm(rowOf(pass.hidden, last)) / expected.final_hidden_l2, 1, tolerance.logits)
      expect(ids.map((_, i) => argmax(pass, last + i))).toEqual(ids)
    }
  })
})

function near(actual: number, expected: number, tolerance: number): void {
  expect(Math.abs(actual - expected), `${actual} is ${expected}`).toBeLessThanOrEqual(tolerance)
}

function norm(row: Float64Array): number {
  return Math.sqrt(row.reduce((sum, value) => sum + value * value, 0))
}

function logSumExp(logits: Float64Array): number {
  const largest = Math.max(...logits)
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
}

function argmax(pass: ReferencePass, row: number): number {
  const logits = pass.logits(row)
  return logits.indexOf(Math.max(...logits))
}
