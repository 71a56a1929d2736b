/** In which order tensors are read, for models of any properties and files in any order. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelTensor } from '../../../src/backend/backend.ts'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { weightPlan } from '../../../src/models/weightNames.ts'
import { loadingOrder, MOST_OPEN_SESSIONS } from '../../../src/ort/loadingOrder.ts'
import { type SessionPlans, sessionPlans } from '../../../src/ort/sessionPlans.ts'
import { at } from '../../../src/util/math.ts'
import { anySpec } from '../../helpers/anySpec.ts'
import { SMALL } from '../../helpers/denseReference.ts'
import { shuffled } from '../../helpers/random.ts'
import { BF16 } from '../../helpers/weightFormats.ts'

const byName = (a: ModelTensor, b: ModelTensor) => (a.name < b.name ? -1 : 1)
const tensorsOf = (spec: ModelSpec) => weightPlan(spec).map((tensor) => ({ ...tensor, format: BF16 }))
const layersOf = (spec: ModelSpec, numLayers: number): ModelSpec => ({
  ...spec,
  numLayers,
  layers: Array.from({ length: numLayers }, () => at(spec.layers, 0)),
})

interface Load {
  readonly spec: ModelSpec
  readonly plans: SessionPlans
  readonly files: readonly ModelTensor[]
  readonly order: readonly ModelTensor[]
  readonly withDrafter: boolean
}

/** Models of few and of many layers, whose files have their tensors in any order. */
const loads: fc.Arbitrary<Load> = fc
  .record({
    spec: fc.oneof(
      anySpec,
      fc.tuple(anySpec, fc.integer({ min: 9, max: 30 })).map(([spec, layers]) => layersOf(spec, layers)),
    ),
    drafting: fc.boolean(),
    subset: fc.boolean(),
    arrange: fc.oneof(
      fc.constant((tensors: readonly ModelTensor[]) => [...tensors]),
      fc.constant((tensors: readonly ModelTensor[]) => tensors.toSorted(byName)),
      fc.nat(1e6).map((seed) => (tensors: readonly ModelTensor[]) => shuffled(tensors, seed)),
    ),
  })
  .map(({ spec, drafting, subset, arrange }) => {
    const withDrafter = drafting && spec.mtp !== undefined
    const plans = sessionPlans(spec, { withDrafter, draftVocab: subset ? [0, 5] : undefined })
    const files = arrange(tensorsOf(spec))
    return { spec, plans, files, order: loadingOrder(spec, plans, files, withDrafter), withDrafter }
  })

const everyLoad = (check: (load: Load) => void) => fc.assert(fc.property(loads, check), { seed: 16, numRuns: 60 })

/** After each tensor that comes: how many sessions have some of their weights and had not all before it. */
function openSessions(plans: SessionPlans, order: readonly ModelTensor[]): number[] {
  const index = new Map(order.map(({ name }, at) => [name, at]))
  const spans = [...plans.values()].map(({ places }) => {
    const come = places.map(({ tensor }) => index.get(tensor) ?? Number.NaN)
    return [Math.min(...come), Math.max(...come)] as const
  })
  return order.map((_, at) => spans.filter(([first, last]) => first <= at && at <= last).length)
}

describe('the order of loading', () => {
  it('has each tensor that the model needs once, and the others not: without the drafter none of its own', () =>
    everyLoad(({ spec, order, withDrafter }) => {
      const needed = tensorsOf(spec).filter(({ part }) => withDrafter || part === 'model')
      expect(order.map(({ name }) => name).sort()).toEqual(needed.map(({ name }) => name).sort())
    }))

  it('begins with the embedding matrix and the heads', () =>
    everyLoad(({ spec, order }) => {
      const first = spec.tiedEmbeddings ? ['embed'] : ['embed', 'lmHead']
      expect(
        order
          .slice(0, first.length)
          .map(({ role }) => role)
          .sort(),
      ).toEqual(first)
    }))

  it('goes on as the files do, or session by session, in the order of the files within a session', () =>
    everyLoad(({ plans, files, order, spec }) => {
      const first = spec.tiedEmbeddings ? 1 : 2
      const rest = order.slice(first)
      const fileIndex = new Map(files.map((tensor, index) => [tensor.name, index]))
      const ascends = (tensors: readonly ModelTensor[]) =>
        tensors.every(
          ({ name }, i) => i === 0 || (fileIndex.get(tensors[i - 1]?.name ?? '') ?? 0) < (fileIndex.get(name) ?? 0),
        )
      if (ascends(rest)) return
      const sessions = [...plans].filter(([name]) => name !== 'head' && name !== 'draftHead')
      const sessionOf = ({ name }: ModelTensor) =>
        sessions.findIndex(([, { places }]) => places.some(({ tensor }) => tensor === name))
      const indices = rest.map(sessionOf)
      expect(indices).toEqual(indices.toSorted((a, b) => a - b))
      for (let session = -1; session < sessions.length; session++) {
        expect(ascends(rest.filter((tensor) => sessionOf(tensor) === session))).toBe(true)
      }
    }))

  it('has few sessions open at once, and two at most where that is not the order of the files', () =>
    everyLoad(({ plans, order, files }) => {
      const open = Math.max(...openSessions(plans, order))
      expect(open).toBeLessThanOrEqual(MOST_OPEN_SESSIONS)
      const inOrder = Math.max(...openSessions(plans, files))
      if (inOrder > MOST_OPEN_SESSIONS + 2) expect(open).toBeLessThanOrEqual(2)
    }))

  it('is that of files by name for models of up to 100 layers, of which one request then fetches them', () => {
    for (const numLayers of [3, 28, 100]) {
      for (const tiedEmbeddings of [false, true]) {
        const spec = layersOf({ ...SMALL, tiedEmbeddings, mtp: undefined }, numLayers)
        const plans = sessionPlans(spec, { withDrafter: false })
        const files = tensorsOf(spec).sort(byName)
        expect(loadingOrder(spec, plans, files, false)).toEqual(files)
        expect(Math.max(...openSessions(plans, files))).toBeLessThanOrEqual(5)
      }
    }
  })
})
