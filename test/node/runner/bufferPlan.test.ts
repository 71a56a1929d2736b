/** The plan of an engine, whatever its model, its formats and what a device can bind: exact, and nothing that no op reads. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelTensor } from '../../../src/backend/backend.ts'
import { plannedBytes } from '../../../src/gpu/arena.ts'
import type { ModelSpec, RopeSpec } from '../../../src/models/modelSpec.ts'
import { weightPlan } from '../../../src/models/weightNames.ts'
import type { EngineOptions } from '../../../src/protocol/engineOptions.ts'
import { allBuffers, memoryPlan, planBuffers } from '../../../src/runner/bufferPlan.ts'
import { createGpuRunner } from '../../../src/runner/createGpuRunner.ts'
import type { GpuRunner } from '../../../src/runner/gpuRunner.ts'
import { SERIAL_KERNELS, WORKGROUP_KERNELS } from '../../../src/runner/kernelSet.ts'
import { at } from '../../../src/util/math.ts'
import { formatName } from '../../../src/weights/format.ts'
import { engineOptions } from '../../helpers/coreFixtures.ts'
import { SMALL } from '../../helpers/denseReference.ts'
import { anyGpuSpec, anyTensors, bytesOfRow, randomRows } from '../../helpers/drawnWeights.ts'
import { FakeGpu } from '../../helpers/fakeGpu.ts'
import { weightsOf } from '../../helpers/memoryWeights.ts'
import { anglesOf } from '../../helpers/modelReference.ts'
import { F16, F32 } from '../../helpers/weightFormats.ts'

/** [positions][pairs][2]: cosines and sines, of queries if they are scaled. */
function referenceTable(
  rope: RopeSpec,
  positions: number,
  { queryScaling }: Pick<ModelSpec, 'queryScaling'> = { queryScaling: undefined },
): number[] {
  const { angles, factor } = anglesOf(rope, positions)
  return Array.from({ length: positions }, (_, position) => {
    const { beta, originalPositions } = queryScaling ?? { beta: 0, originalPositions: 1 }
    const scale = factor * (1 + beta * Math.log(1 + Math.floor(position / originalPositions)))
    return angles.flatMap((angle) => [Math.cos(position * angle) * scale, Math.sin(position * angle) * scale])
  }).flat()
}

const KERNELS = { serial: SERIAL_KERNELS, workgroup: WORKGROUP_KERNELS } as const

interface Engine {
  readonly spec: ModelSpec
  readonly options: EngineOptions
  readonly tensors: readonly ModelTensor[]
  readonly bindingBytes: number | undefined
  readonly draftVocab: readonly number[] | undefined
}

function drafting(numSpeculativeTokens: number | undefined, draftVocabSize: number | undefined) {
  if (numSpeculativeTokens === undefined) return undefined
  return { method: 'mtp', numSpeculativeTokens, adaptive: false, draftVocabSize } as const
}

const anyEngine: fc.Arbitrary<Engine> = anyGpuSpec.chain((spec) =>
  fc
    .record({
      tensors: anyTensors(spec),
      bindingBytes: fc.constantFrom(undefined, 1, 9_000, 40_000),
      drafts: spec.mtp ? fc.constantFrom(undefined, 1, 3) : fc.constant(undefined),
      draftVocab: fc.option(fc.subarray([...Array(spec.vocabSize).keys()], { minLength: 1 }), { nil: undefined }),
      maxNumBatchedTokens: fc.integer({ min: 8, max: 40 }),
      maxModelLen: fc.integer({ min: 1, max: 64 }),
      penalties: fc.boolean(),
      kvCacheDtype: fc.constantFrom('f16', 'f32'),
      logits: fc.constantFrom('off', 'digest', 'full'),
    })
    .map(({ tensors, bindingBytes, drafts, draftVocab, logits, ...numbers }) => ({
      spec,
      tensors,
      bindingBytes,
      draftVocab,
      options: engineOptions({
        ...numbers,
        maxNumSeqs: 4,
        kvCacheTokens: 128,
        speculative: drafting(drafts, draftVocab?.length),
        debug: { logits, steps: false, trace: false },
      }),
    })),
)

function bytesByName({ spec, options, tensors, bindingBytes }: Engine): Map<string, number> {
  return new Map(allBuffers(planBuffers(spec, options, tensors, bindingBytes)).map(({ name, bytes }) => [name, bytes]))
}

/** Whether a block that runs has gate and up in more than one part each, in two formats, or with biases. */
function someApart({ spec, options, tensors, bindingBytes = 128 * 1024 * 1024 }: Engine): boolean {
  const drafting = options.speculative !== undefined
  const blocks = spec.layers.map((_, layer) => ({ part: 'model', layer }))
  if (drafting) blocks.push({ part: 'mtp', layer: 0 })
  const parted = ({ format }: ModelTensor) => {
    const row = bytesOfRow(format, spec.hiddenSize)
    const tiles = Math.ceil(spec.intermediateSize / 32)
    return tiles > 1 && 32 * tiles * Math.max(row.codes, row.scales) > bindingBytes
  }
  return blocks.some(({ part, layer }) => {
    const [gate, up] = ['gate', 'up'].map(
      (role) =>
        tensors.find((each) => each.part === part && each.layer === layer && each.role === role) ?? expect.fail(role),
    ) as [ModelTensor, ModelTensor]
    return spec.mlpBias || formatName(gate.format) !== formatName(up.format) || parted(gate) || parted(up)
  })
}

describe('the plan', () => {
  it('has products of gate and up apart exactly where a block cannot fuse them', () => {
    const seen = new Set<boolean>()
    fc.assert(
      fc.property(anyEngine, (engine) => {
        const apart = someApart(engine)
        seen.add(apart)
        const { maxNumBatchedTokens: rows } = engine.options
        const bytes = bytesByName(engine).get('gateAndUp')
        expect(bytes).toBe(apart ? rows * 2 * engine.spec.intermediateSize * 4 : undefined)
      }),
      { numRuns: 200 },
    )
    expect(seen).toEqual(new Set([true, false]))
  })

  it('has them for the drafter alone, too, and not where the engine has none', () => {
    const spec = { ...SMALL, hiddenSize: 64, intermediateSize: 64, headDim: 16 }
    const tensors = weightPlan(spec).map(
      (tensor): ModelTensor => ({ ...tensor, format: tensor.part === 'mtp' && tensor.role === 'up' ? F16 : F32 }),
    )
    const planned = (drafts: number | undefined) => {
      const options = engineOptions({ speculative: drafting(drafts, undefined) })
      return bytesByName({ spec, options, tensors, bindingBytes: undefined, draftVocab: undefined }).has('gateAndUp')
    }
    expect([planned(2), planned(undefined)]).toEqual([true, false])
  })

  it('has room for queries and keys before their norm exactly where it is over all heads', () => {
    fc.assert(
      fc.property(anyEngine, (engine) => {
        const { spec, options } = engine
        const columns = (spec.numHeads + 2 * spec.numKvHeads) * spec.headDim
        const expected = spec.qkNorm === 'whole' ? options.maxNumBatchedTokens * columns * 4 : undefined
        expect(bytesByName(engine).get('unnormed')).toBe(expected)
      }),
    )
  })

  it('has a table of each rotation, twice as large where queries are scaled by position', () => {
    fc.assert(
      fc.property(anyEngine, (engine) => {
        const { spec, options } = engine
        const tables = [...bytesByName(engine)].filter(([name]) => name.startsWith('rope'))
        const expected = spec.ropes.map(({ dims }, index) => {
          const table = options.maxModelLen * dims * 4
          return [`rope.${index}`, spec.queryScaling ? 2 * table : table]
        })
        expect(tables).toEqual(expected)
      }),
    )
  })

  it('depends on what a device binds in the names of the parts alone, and in how gate and up are computed', () => {
    fc.assert(
      fc.property(anyEngine, (engine) => {
        const [split, whole] = [bytesByName(engine), bytesByName({ ...engine, bindingBytes: undefined })]
        const total = (bytes: ReadonlyMap<string, number>) =>
          [...bytes].reduce((sum, [name, size]) => sum + (name === 'gateAndUp' ? 0 : size), 0)
        expect(total(split)).toBe(total(whole))
      }),
    )
  })
})

describe('an engine', () => {
  /** On a device without a GPU: what is allocated and written is real. */
  async function load(engine: Engine, kernels = SERIAL_KERNELS): Promise<GpuRunner> {
    const { spec, options, tensors, bindingBytes, draftVocab } = engine
    const weights = weightsOf(tensors.map((tensor, index) => ({ ...tensor, values: randomRows(tensor, index).rows })))
    const gpu = await new FakeGpu({ timestamps: false }).open()
    return createGpuRunner({ gpu, spec, options, weights, draftVocab, now: () => 0, kernels, bindingBytes })
  }

  it('allocates its plan to the byte, and binds nothing that is not in it', async () => {
    await fc.assert(
      fc.asyncProperty(anyEngine, fc.constantFrom('serial', 'workgroup'), async (engine, kernels) => {
        const { spec, options, tensors, bindingBytes } = engine
        const runner = await load(engine, KERNELS[kernels])
        expect(runner.plannedBytes).toBe(plannedBytes(allBuffers(planBuffers(spec, options, tensors, bindingBytes))))
        expect(runner.allocatedBytes).toBe(runner.plannedBytes)
        if (bindingBytes === undefined) {
          expect(runner.allocatedBytes).toBe(memoryPlan(spec, options, tensors).totalBytes)
        }
        runner.dispose()
      }),
      { numRuns: 40 },
    )
  })

  it('has the table of keys, and behind it that of scaled queries', async () => {
    await fc.assert(
      fc.asyncProperty(anyEngine, async (engine) => {
        const { spec, options } = engine
        const runner = await load(engine)
        for (const [index, rope] of spec.ropes.entries()) {
          const buffer = runner.parts.arena.buffer(`rope.${index}`) as unknown as { readonly bytes: Uint8Array }
          const written = new Float32Array(buffer.bytes.slice().buffer)
          const keys = referenceTable(rope, options.maxModelLen)
          const expected = [...keys, ...(spec.queryScaling ? referenceTable(rope, options.maxModelLen, spec) : [])]
          expect(written).toHaveLength(expected.length)
          expect(Math.max(...expected.map((value, i) => Math.abs(value - at(written, i))))).toBeLessThan(1e-6)
        }
        runner.dispose()
      }),
      { numRuns: 25 },
    )
  })
})
