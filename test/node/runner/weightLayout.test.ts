/** Where the columns of a model's matrices go on the GPU, whatever their formats and whatever a device can bind. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelTensor } from '../../../src/backend/backend.ts'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { weightPlan } from '../../../src/models/weightNames.ts'
import {
  columnRuns,
  DRAFT_HEAD,
  headMatrix,
  type LayoutOptions,
  type MatrixPart,
  type StoredMatrix,
  scalesOf,
  type WeightLayout,
  weightBuffers,
  weightLayout,
} from '../../../src/runner/weightLayout.ts'
import { formatName, type WeightFormat } from '../../../src/weights/format.ts'
import { SMALL_MIMO } from '../../helpers/denseReference.ts'
import { anyGpuSpec, anyTensors, bytesOfRow, isMatrix } from '../../helpers/drawnWeights.ts'
import { BF16, F16, F32 } from '../../helpers/weightFormats.ts'

const anyLayout = anyGpuSpec.chain((spec) =>
  fc
    .record({
      tensors: anyTensors(spec),
      withDrafter: fc.boolean(),
      draftVocab: fc.option(fc.integer({ min: 1, max: spec.vocabSize }), { nil: undefined }),
      bindingBytes: fc.option(fc.integer({ min: 1, max: 80_000 }), { nil: undefined }),
    })
    .map(({ tensors, ...options }) => ({
      spec,
      tensors,
      options,
      layout: weightLayout(spec, tensors, options),
      bindingBytes: options.bindingBytes ?? 128 * 1024 * 1024,
    })),
)

/** Codes and scales of `columns` columns, in bytes, the last tile whole. */
function partBytes(format: WeightFormat, inputs: number, columns: number) {
  const stored = 32 * Math.ceil(columns / 32)
  const { codes, scales } = bytesOfRow(format, inputs)
  return { codes: stored * codes, scales: stored * scales }
}

function matrix(layout: WeightLayout, name: string): StoredMatrix {
  return layout.matrices.get(name) ?? expect.fail(`no matrix ${name}`)
}

function partAt({ parts }: StoredMatrix, column: number): MatrixPart {
  const [found, ...others] = parts.filter(
    ({ outColumn, columns }) => outColumn <= column && column < outColumn + columns,
  )
  return found && others.length === 0
    ? found
    : expect.fail(`column ${column} is in ${found ? 'several parts' : 'none'}`)
}

describe('the parts of a matrix', () => {
  it('cover its columns once, in order', () => {
    fc.assert(
      fc.property(anyLayout, ({ layout }) => {
        for (const { columns, parts } of layout.matrices.values()) {
          let next = 0
          for (const part of parts) {
            expect(part.outColumn).toBe(next)
            expect(part.columns).toBeGreaterThan(0)
            next += part.columns
          }
          expect(next).toBe(columns)
        }
      }),
    )
  })

  it('hold every row of every tensor, in its own format; only the drafter is left out where there is none', () => {
    fc.assert(
      fc.property(anyLayout, ({ tensors, options, layout }) => {
        const held = tensors.filter(({ part }) => part === 'model' || options.withDrafter)
        expect(layout.tensors).toEqual(held)
        expect([...layout.places.keys()]).toEqual(held.map(({ name }) => name))
        const taken = new Map<string, number>()
        for (const { name, shape, format } of held) {
          const place = layout.places.get(name) ?? expect.fail(name)
          const [rows = 0, inputs] = shape
          taken.set(place.name, (taken.get(place.name) ?? 0) + rows)
          if (place.kind === 'vector') continue
          const stored = matrix(layout, place.name)
          expect(stored.inputs).toBe(inputs)
          const formats = Array.from({ length: rows }, (_, row) => partAt(stored, place.first + row).format)
          expect([...new Set(formats.map(formatName))]).toEqual([formatName(format)])
        }
        const matrices = [...layout.matrices].filter(([name]) => name !== DRAFT_HEAD)
        expect(taken).toEqual(
          new Map([...layout.vectors, ...matrices.map(([name, { columns }]) => [name, columns] as const)]),
        )
      }),
    )
  })

  it('are as few as formats and bindings allow: neighbours of one format share a part until it is full', () => {
    fc.assert(
      fc.property(anyLayout, ({ layout, bindingBytes }) => {
        for (const { inputs, parts } of layout.matrices.values()) {
          for (const [index, { format, columns }] of parts.entries()) {
            const next = parts[index + 1]
            if (!next || formatName(next.format) !== formatName(format)) continue
            expect(columns % 32).toBe(0)
            const { codes, scales } = partBytes(format, inputs, columns + 1)
            expect(Math.max(codes, scales)).toBeGreaterThan(bindingBytes)
          }
        }
      }),
    )
  })

  it('fit what a device binds, or are one tile', () => {
    fc.assert(
      fc.property(anyLayout, ({ layout, bindingBytes }) => {
        const bytes = new Map(weightBuffers(layout).map((plan) => [plan.name, plan.bytes]))
        for (const { parts } of layout.matrices.values()) {
          for (const { buffer, columns } of parts) {
            const most = Math.max(bytes.get(buffer) ?? Number.NaN, bytes.get(scalesOf(buffer)) ?? 0)
            if (columns > 32) expect(most).toBeLessThanOrEqual(bindingBytes)
          }
        }
      }),
    )
  })

  it('are planned as their tiles, each buffer under a name of its own', () => {
    fc.assert(
      fc.property(anyLayout, ({ layout }) => {
        const plans = weightBuffers(layout)
        const expected = new Map([...layout.vectors].map(([name, size]) => [name, 4 * size]))
        for (const { inputs, parts } of layout.matrices.values()) {
          for (const { buffer, format, columns } of parts) {
            const { codes, scales } = partBytes(format, inputs, columns)
            expected.set(buffer, codes)
            if (scales > 0) expected.set(`${buffer}.scales`, scales)
          }
        }
        expect(new Map(plans.map(({ name, bytes }) => [name, bytes]))).toEqual(expected)
        expect(plans).toHaveLength(expected.size)
      }),
    )
  })

  it('of a reduced draft head are as many columns in the format of the head', () => {
    fc.assert(
      fc.property(anyLayout, ({ spec, options, layout }) => {
        const { draftVocab = spec.vocabSize } = options
        const draftHead = layout.matrices.get(DRAFT_HEAD)
        if (draftVocab === spec.vocabSize) {
          expect(draftHead).toBeUndefined()
          return
        }
        const format = formatName(partAt(matrix(layout, headMatrix(spec)), 0).format)
        expect(draftHead).toMatchObject({ columns: draftVocab, inputs: spec.hiddenSize })
        expect(draftHead?.parts.every((part) => formatName(part.format) === format)).toBe(true)
      }),
    )
  })
})

describe('the columns of a range', () => {
  it('are its own, in order, each where its part has it', () => {
    const anyRange = anyLayout.chain(({ layout }) => {
      const [first, ...others] = [...layout.matrices.values()]
      return fc.constantFrom(first ?? expect.fail('no matrix'), ...others).chain((stored) => {
        const bound = fc.nat(stored.columns)
        return fc.tuple(fc.constant(stored), bound, bound)
      })
    })
    fc.assert(
      fc.property(anyRange, ([stored, a, b]) => {
        const [first, end] = [Math.min(a, b), Math.max(a, b)]
        const runs = columnRuns(stored, first, end)
        const seen = runs.flatMap(({ part, firstColumn, columns, outColumn }) =>
          Array.from({ length: columns }, (_, i) => [outColumn + i, part.buffer, firstColumn + i]),
        )
        const expected = Array.from({ length: end - first }, (_, i) => {
          const part = partAt(stored, first + i)
          return [first + i, part.buffer, first + i - part.outColumn]
        })
        expect(seen).toEqual(expected)
        expect(new Set(runs.map(({ part }) => part)).size).toBe(runs.length)
      }),
    )
  })
})

describe('Q, K and V', () => {
  const spec: ModelSpec = { ...SMALL_MIMO, hiddenSize: 64, numHeads: 3, numKvHeads: 1, headDim: 16 }
  const names = { q: 0, k: 1, v: 2 } as Readonly<Record<string, number>>

  function qkv(formats: readonly WeightFormat[], options: LayoutOptions = { withDrafter: true }): StoredMatrix {
    const tensors = [...allTensors(spec)].map((tensor) => ({
      ...tensor,
      format: formats[names[tensor.role] ?? -1] ?? tensor.format,
    }))
    return matrix(weightLayout(spec, tensors, options), 'mtp.block.qkv')
  }

  it("share a part in one format, and the drafter's K and V begin inside it", () => {
    const stored = qkv([BF16, BF16, BF16])
    expect(stored).toEqual({
      inputs: 64,
      columns: 80,
      parts: [{ buffer: 'mtp.block.qkv', format: BF16, columns: 80, outColumn: 0 }],
    })
    expect(columnRuns(stored, 48, 80)).toEqual([{ part: stored.parts[0], firstColumn: 48, columns: 32, outColumn: 48 }])
  })

  it('have a part for each run of one format', () => {
    const cuts = (formats: readonly WeightFormat[]) => qkv(formats).parts.map(({ columns }) => columns)
    expect(cuts([BF16, BF16, F16])).toEqual([64, 16])
    expect(cuts([BF16, F16, F16])).toEqual([48, 32])
    expect(cuts([BF16, F16, BF16])).toEqual([48, 16, 16])
    expect(cuts([F32, F16, BF16])).toEqual([48, 16, 16])
  })

  it('are cut at tiles, not where a tensor begins', () => {
    const tile = 32 * 64 * 2
    const options = { withDrafter: true, bindingBytes: 2 * tile - 1 }
    const { parts } = qkv([BF16, BF16, BF16], options)
    expect(parts.map(({ buffer, outColumn, columns }) => [buffer, outColumn, columns])).toEqual([
      ['mtp.block.qkv', 0, 32],
      ['mtp.block.qkv.1', 32, 32],
      ['mtp.block.qkv.2', 64, 16],
    ])
  })

  it('that leave a hole are refused', () => {
    const holed = allTensors(spec).filter(({ role, part }) => !(role === 'k' && part === 'model'))
    expect(() => weightLayout(spec, holed, { withDrafter: true })).toThrow(/the tensors of layer0.qkv fill it/)
  })
})

function allTensors(spec: ModelSpec): ModelTensor[] {
  return weightPlan(spec).map((tensor) => {
    const format = isMatrix({ ...tensor, format: F32 }) ? BF16 : F32
    return { ...tensor, format }
  })
}
