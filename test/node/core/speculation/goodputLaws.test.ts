/**
 * What choosing the number of drafts comes to where nothing changes, over a grid of costs, streams, acceptance and noise, learning
 * included. Runs that are far from the best fixed number are printed: the laws are about nearly all of them.
 */

import { beforeAll, describe, expect, it } from 'vitest'
import { GoodputController } from '../../../../src/core/speculation/goodputController.ts'
import { at } from '../../../../src/util/math.ts'
import { changes, DRAFTS } from '../../../helpers/draftRuns.ts'
import { COSTS, fixedGoodputs, goodputOf, simulateDrafts } from '../../../helpers/draftSimulator.ts'
import { FULL } from '../../../helpers/full.ts'

const STEPS = 2000
const STREAMS = FULL ? [1, 4, 16, 64] : [1, 8]

interface Point {
  readonly name: string
  /** goodput of the whole run, to that of the best fixed number of drafts */
  readonly toBest: number
  /** of each half of the run, to that without drafts: the lower */
  readonly toNone: number
  /** part of the steps in which the number changed */
  readonly changes: number
}

describe('the number of drafts with the best goodput', () => {
  const points: Point[] = []

  beforeAll(() => {
    for (const name of Object.keys(COSTS)) {
      for (const streams of STREAMS) {
        for (const verifiedAtOnce of [false, true]) {
          for (const noisy of [false, true]) {
            // All tenths, every other one falling by position.
            for (let tenths = 0; tenths <= 10; tenths++)
              points.push(pointOf(name, streams, tenths, verifiedAtOnce, noisy))
          }
        }
      }
    }
    const outliers = points.filter(({ toBest, toNone }) => toBest < 0.95 || toNone < 0.97)
    for (const { name, toBest, toNone } of outliers) {
      console.log(`${name}: ${toBest.toFixed(3)} of the best, ${toNone.toFixed(3)} of none`)
    }
  }, 240_000)

  it('is at least 0.98 as good as the best fixed number in the median, and 0.95 in 95 % of all cases', () => {
    const parts = points.map(({ toBest }) => toBest).sort((a, b) => a - b)
    expect(parts.length).toBeGreaterThan(300)
    expect(at(parts, parts.length >> 1)).toBeGreaterThan(0.98)
    expect(at(parts, Math.floor(parts.length / 20))).toBeGreaterThan(0.95)
  })

  it('never costs more than 3 % of 1,000 steps', () => {
    expect(points.filter(({ toNone }) => toNone < 0.97)).toEqual([])
  })

  it('changes in at most 2 % of the steps', () => {
    expect(points.filter((point) => point.changes > 0.02)).toEqual([])
  })
})

function pointOf(name: string, streams: number, tenths: number, verifiedAtOnce: boolean, noisy: boolean): Point {
  const { [name]: paid = { target: () => 1, pass: () => 1 } } = COSTS
  const costs = verifiedAtOnce ? { ...paid, pass: () => 0 } : paid
  const decay = tenths % 2 === 0 ? 1 : 0.8
  const surroundings = { streams, acceptance: (_: number, position: number) => (tenths / 10) * decay ** position }
  const steps = simulateDrafts(new GoodputController({ numSpeculativeTokens: DRAFTS, verifiedAtOnce }), {
    ...(noisy && { noise: 0.1, strayEvery: 50 }),
    drafts: DRAFTS,
    costs,
    at: () => surroundings,
    steps: STEPS,
    seed: tenths + 11 * streams,
    verifiedAtOnce,
  })
  const fixed = fixedGoodputs(DRAFTS, costs, surroundings)
  const halves = [steps.slice(0, STEPS / 2), steps.slice(STEPS / 2)].map(goodputOf)
  return {
    name: `${name} costs, ${streams} streams, acceptance ${tenths / 10}${noisy ? ', noisy' : ''}${verifiedAtOnce ? ', at once' : ''}`,
    toBest: goodputOf(steps) / Math.max(...fixed),
    toNone: Math.min(...halves) / at(fixed, 0),
    changes: changes(steps),
  }
}
