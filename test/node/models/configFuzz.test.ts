/** Any config and any header: a spec whose numbers are numbers and whose tensors are bound, or a MODEL_FORMAT error. Never anything else. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BoundTensor, bindTensors } from '../../../src/models/bindTensors.ts'
import { parseQuantisation } from '../../../src/models/checkpointQuantisation.ts'
import { eosTokens } from '../../../src/models/generationDefaults.ts'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import { ropeFrequencies } from '../../../src/models/rope.ts'
import { type TensorHeader, weightPlan } from '../../../src/models/weightNames.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import { fixtureFolder } from '../../helpers/boundWeights.ts'
import { FULL } from '../../helpers/full.ts'
import { readBytes, readJson, readSafetensors } from '../../helpers/modelFiles.ts'

const CASES = FULL ? 10_000 : 1_000

const FIXTURES = [
  ...['gemma2', 'gemma3', 'granite', 'llama', 'llama-yarn', 'mimo', 'ministral', 'mistral', 'olmo2', 'phi3', 'smollm3'],
  ...['gemma3-mlx-4bit', 'qwen2-mlx-mixed', 'llama-gptq-g128', 'llama-awq-g128'],
]

type Json = Record<string, unknown>

const CONFIGS = FIXTURES.map((name): Json => readJson(fixtureFolder(name), 'config.json'))
const HEADERS = FIXTURES.map((name) => readSafetensors(readBytes(fixtureFolder(name), 'model.safetensors')).header)

/** Fields of any of them and of the objects in them, and some that none has. */
const NAMES = [
  ...new Set(CONFIGS.flatMap((config) => [...Object.keys(config), ...Object.values(config).flatMap(namesIn)])),
  ...['text_config', 'num_local_experts', 'kv_lora_rank', 'mlp_bias', 'use_mrope', 'max_window_layers', 'divisors'],
  ...['no_rope_layer_interval', 'position_embedding_type', 'llama_4_scaling_beta', 'constructor', '__proto__'],
]

function namesIn(value: unknown): string[] {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : []
}

const STRINGS = ['yarn', 'linear', 'longrope', 'silu', 'sliding_attention', 'llama', 'gemma3', 'mlx', 'awq', 'toString']
const NUMBERS = [0, -1, 1, 2, 3, 4, 8, 16, 31, 32, 64, 0.5, 0.75, 1e-300, 1e300, 2 ** 31, 2 ** 53, 1e-31, 1e31]

const scalar = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, ...STRINGS, ...NUMBERS),
  fc.integer({ min: -2, max: 4096 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string({ maxLength: 6 }),
)
const value: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: scalar },
  { weight: 2, arbitrary: fc.dictionary(fc.constantFrom(...NAMES), scalar, { maxKeys: 5 }) },
  { weight: 2, arbitrary: fc.array(scalar, { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.array(fc.constantFrom('full_attention', 'sliding_attention'), { maxLength: 6 }) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
)

/** A fixture, with fields changed, at the top or within an object, and fields taken away. */
const changed = fc
  .record({
    fixture: fc.nat({ max: FIXTURES.length - 1 }),
    set: fc.array(fc.tuple(fc.constantFrom(...NAMES), value), { maxLength: 4 }),
    inner: fc.array(fc.tuple(fc.constantFrom(...NAMES), scalar), { maxLength: 2 }),
    removed: fc.array(fc.constantFrom(...NAMES), { maxLength: 2 }),
    wrapped: fc.boolean(),
  })
  .map(({ fixture, set, inner, removed, wrapped }) => {
    const config: Json = structuredClone(CONFIGS[fixture] ?? {})
    for (const [name, changed] of set) config[name] = changed
    for (const place of Object.values(config)) {
      if (namesIn(place).length > 0) for (const [name, changed] of inner) (place as Json)[name] = changed
    }
    for (const name of removed) delete config[name]
    const outer = { model_type: 'gemma3', text_config: { ...config, model_type: 'gemma3_text' } }
    return { fixture, config: wrapped && FIXTURES[fixture]?.startsWith('gemma3') ? outer : config }
  })

const MODEL_FORMAT = 'MODEL_FORMAT'

/** What a call gives; undefined where it refuses the model; anything else it throws is thrown. */
function orRefused<T>(call: () => T): T | undefined {
  try {
    return call()
  } catch (thrown) {
    if (thrown instanceof WeirError && thrown.code === MODEL_FORMAT) return undefined
    throw thrown
  }
}

function checkSpec(spec: ModelSpec): void {
  expect(spec.layers).toHaveLength(spec.numLayers)
  for (const { window, rope } of spec.layers) {
    if (window !== undefined) expect(window).toBeLessThan(spec.maxPositions)
    if (rope !== undefined) expect(spec.ropes[rope]).toBeDefined()
  }
  for (const rope of spec.ropes) {
    const { frequencies, factor } = ropeFrequencies(rope, spec.maxPositions)
    expect(frequencies).toHaveLength(rope.dims / 2)
    expect([...frequencies, factor].every(Number.isFinite)).toBe(true)
  }
  const { attentionScale, embeddingScale, logitScale, residualScale, rmsNormEps } = spec
  const numbers = [attentionScale, embeddingScale, logitScale, residualScale, rmsNormEps]
  expect(numbers.every((number) => Number.isFinite(number) && number > 0)).toBe(true)
  expect([spec.hiddenSize, spec.intermediateSize, spec.headDim].every((size) => size % 8 === 0)).toBe(true)
  const names = weightPlan(spec).map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
}

/** Every tensor is where the header has room for it. */
function checkBound(bound: readonly BoundTensor[], headers: ReadonlyMap<string, TensorHeader>): void {
  for (const { files, shape, firstRow, fileRows } of bound) {
    expect(files.every((name) => headers.has(name))).toBe(true)
    expect(firstRow + (shape.length === 1 ? 1 : (shape[0] ?? 0))).toBeLessThanOrEqual(fileRows)
  }
}

describe('any config', () => {
  it('is a model whose numbers are numbers, or is refused', () => {
    const read = { configs: 0, refused: 0 }
    fc.assert(
      fc.property(changed, fc.oneof(fc.constant(undefined), value), ({ fixture, config }, generationConfig) => {
        const spec = orRefused(() => parseModelSpec(config, generationConfig ?? undefined))
        const quantisation = orRefused(() => parseQuantisation(config))
        if (spec) checkSpec(spec)
        read[spec ? 'configs' : 'refused']++
        const headers = new Map<string, TensorHeader>(Object.entries(HEADERS[fixture] ?? {}))
        const bound = spec && quantisation && orRefused(() => bindTensors(spec, quantisation, headers))
        if (bound) checkBound(bound, headers)
      }),
      { numRuns: CASES, seed: 16 },
    )
    // Neither all refused nor all read, or it would test one half.
    expect(Math.min(read.configs, read.refused)).toBeGreaterThan(CASES / 20)
  })

  it('that is any JSON at all is refused', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(orRefused(() => parseModelSpec(json))).toBeUndefined()
        orRefused(() => parseQuantisation(json))
        orRefused(() => eosTokens(json))
      }),
      { numRuns: CASES / 10, seed: 16 },
    )
  })

  it('nested too deep to print is refused', () => {
    const deep = JSON.parse(`${'['.repeat(20_000)}${']'.repeat(20_000)}`)
    expect(orRefused(() => parseModelSpec({ ...CONFIGS[3], model_type: deep }))).toBeUndefined()
    expect(orRefused(() => parseModelSpec({ ...CONFIGS[3], rope_scaling: { type: 'linear', factor: deep } }))).toBe(
      undefined,
    )
  })
})

describe('any header', () => {
  const entry = fc.record({
    dtype: fc.constantFrom('BF16', 'F16', 'F32', 'U32', 'I32', 'U8', 'F8_E4M3', ''),
    shape: fc.array(fc.oneof(fc.constantFrom(8, 16, 32, 64, 128), fc.nat()), { maxLength: 3 }),
  })

  it('is bound or refused: tensors changed, taken away, renamed, added', () => {
    let bindings = 0
    const change = fc.record({
      fixture: fc.nat({ max: FIXTURES.length - 1 }),
      at: fc.array(fc.tuple(fc.nat(), fc.option(entry), fc.string({ maxLength: 4 })), { maxLength: 2 }),
      prefix: fc.constantFrom('', '', 'language_model.', 'model.', 'x.'),
    })
    fc.assert(
      fc.property(change, ({ fixture, at, prefix }) => {
        const entries = Object.entries<TensorHeader>(HEADERS[fixture] ?? {})
        for (const [index, other, suffix] of at) {
          const found = entries[index % entries.length]
          if (found) entries[index % entries.length] = [found[0] + suffix, other ?? found[1]]
        }
        const headers = new Map(entries.map(([name, header]) => [prefix + name, header]))
        const config = CONFIGS[fixture]
        const spec = parseModelSpec(config)
        const bound = orRefused(() => bindTensors(spec, parseQuantisation(config), headers))
        if (bound) checkBound(bound, headers)
        if (bound) bindings++
      }),
      { numRuns: CASES, seed: 17 },
    )
    expect(bindings).toBeGreaterThan(CASES / 20)
  })
})
