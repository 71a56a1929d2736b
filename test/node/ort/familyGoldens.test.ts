/** The families' fixtures on the processor against the outputs of an independent implementation. */

import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { type WeightRole, weightPlan } from '../../../src/models/weightNames.ts'
import type { Ort } from '../../../src/ort/runtime.ts'
import { at } from '../../../src/util/math.ts'
import { fixtureFolder, readFixture } from '../../helpers/boundWeights.ts'
import type { StoredTensor } from '../../helpers/denseReference.ts'
import { FULL } from '../../helpers/full.ts'
import { bindingIds, type Golden } from '../../helpers/golden.ts'
import { nodeOrt } from '../../helpers/ort.ts'
import { loadAll, logitsOf } from '../../helpers/ortModels.ts'

const FIXTURES = [
  ...['gemma2', 'gemma3', 'granite', 'llama', 'llama-linear', 'llama-yarn', 'ministral', 'mistral', 'olmo2', 'phi3'],
  ...['smollm3', 'qwen3-mlx-4bit', 'qwen2-mlx-mixed', 'gemma3-mlx-4bit', 'llama-awq-g128'],
]

let ort: Ort

beforeAll(async () => {
  ort = await nodeOrt()
})

describe.each(FIXTURES)('%s', (name) => {
  it('has the ids and logits of the golden file, in chunks of 50 tokens', async () => {
    const golden: Golden = JSON.parse(readFileSync(new URL('golden.json', fixtureFolder(name)), 'utf8'))
    const { gap, logits: tolerance } = golden.tolerance.kv_exact
    const { spec: own, weights } = readFixture(name)
    // The values are those of the reference: no family's way of storing them is left.
    const spec = { ...own, family: 'llama' }
    const dense = await loadAll(ort, spec, plainTensors(spec, weights))
    // The longest prompt is past every window and original context.
    for (const { prompt_ids, kv_exact: expected } of FULL ? golden.cases : golden.cases.slice(-1)) {
      const ids = bindingIds(expected.greedy_ids, expected.greedy_gap, gap)
      const all = [...prompt_ids, ...ids.slice(0, -1)]
      const chunks = Array.from({ length: Math.ceil(all.length / 50) }, (_, i) => [Math.min(50, all.length - i * 50)])
      const logits = at(await logitsOf(dense, spec.maxPositions, [all], chunks), 0)
      const last = at(logits, prompt_ids.length - 1)
      for (const [id, logit] of expected.last_logits_top8) near(at(last, id), logit, tolerance)
      near(logSumExp(last), expected.last_logits_logsumexp, tolerance)
      expect(logits.slice(prompt_ids.length - 1).map((row) => row.indexOf(Math.max(...row)))).toEqual(ids)
    }
    await dense.release()
  })
})

/** Every tensor as f32, under its own name: how files hold them is not what is tested here. */
function plainTensors(
  spec: Parameters<typeof weightPlan>[0],
  weights: (role: WeightRole, layer?: number) => ArrayLike<number>,
): StoredTensor[] {
  return weightPlan({ ...spec, mtp: undefined }).map(({ role, layer, name, shape }) => {
    const values = Float32Array.from(weights(role, layer))
    return { name, dtype: 'F32', shape, data: new Uint8Array(values.buffer) }
  })
}

function near(actual: number, expected: number, tolerance: number): void {
  expect(Math.abs(actual - expected), `${actual} is ${expected}`).toBeLessThanOrEqual(tolerance)
}

function logSumExp(logits: readonly number[]): number {
  const largest = Math.max(...logits)
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0))
}
