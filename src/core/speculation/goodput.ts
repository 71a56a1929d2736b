/**
 * Goodput of a step by its number of drafts: expected committed tokens over predicted milliseconds (SmartSpec, arXiv 2406.14066).
 * It must never know which number is in use.
 */

import { at, sum } from '../../util/math.ts'
import type { AcceptanceRates } from './acceptanceRates.ts'
import type { DraftSituation } from './draftPolicy.ts'
import type { StepTimeModel } from './stepTimeModel.ts'

/** A step with k drafts for each request. */
export interface GoodputEstimate {
  readonly draftRows: number
  /** expected committed tokens */
  readonly tokens: number
  readonly ms: number
  /** whether a single step of so many rows was measured, which may be an outlier, as may the passes before it */
  readonly unconfirmed: boolean
  readonly goodput: number
  /** requests that get fewer than k, by id, because a draft is less likely accepted than its row is worth */
  readonly fewer: ReadonlyMap<number, number>
}

/** Requests of the same limit and the same acceptance. */
interface Group {
  /** of the shared acceptance rates */
  readonly factor: number
  /** that the draft at a position is accepted, all before it included */
  readonly probabilities: readonly number[]
  readonly limit: number
  readonly ids: number[]
}

/** Giving some requests fewer drafts must raise the goodput by so much, as a part. */
const MIN_GAIN = 0.05

/**
 * @param most drafts of a request
 * @param passes whether drafts are proposed by passes on the device
 * @returns [most + 1], by k
 */
export function estimateGoodput(
  { requests, draftRows: room }: DraftSituation,
  most: number,
  passes: boolean,
  rates: AcceptanceRates,
  times: StepTimeModel,
): GoodputEstimate[] {
  const decoding = requests.length
  const groups = groupRequests(requests, rates)
  const longest = groups.reduce((length, { limit }) => Math.max(length, limit), 0)
  const alike = groups.every(({ factor }) => factor === 1)
  const passesOf = (k: number) => (passes ? Math.min(k, longest) : 0)

  /** @param least probability of a draft that gets a row */
  const estimate = (k: number, least: number): GoodputEstimate => {
    let wanted = 0
    let accepted = 0
    const fewer = new Map<number, number>()
    for (const { probabilities, limit, ids } of groups) {
      const full = Math.min(k, limit)
      let drafts = full
      while (drafts > 0 && at(probabilities, drafts - 1) < least) drafts--
      if (drafts < full) for (const id of ids) fewer.set(id, drafts)
      wanted += ids.length * drafts
      accepted += ids.length * sum(probabilities.slice(0, drafts))
    }
    // Where rows are short every request gets its part of them.
    const draftRows = Math.min(wanted, room)
    const tokens = decoding + (wanted > 0 ? (accepted * draftRows) / wanted : 0)
    const ms = times.predict(decoding, draftRows, passesOf(k))
    const unconfirmed = times.unconfirmed(decoding + draftRows)
    return { draftRows, tokens, ms, unconfirmed, goodput: tokens / ms, fewer }
  }

  return Array.from({ length: most + 1 }, (_, k) => {
    const equal = estimate(k, 0)
    if (alike || equal.draftRows === 0) return equal
    const msPerRow = (equal.ms - times.predict(decoding, 0, passesOf(k))) / equal.draftRows
    const selective = estimate(k, equal.goodput * msPerRow)
    return selective.draftRows > 0 && selective.goodput > (1 + MIN_GAIN) * equal.goodput ? selective : equal
  })
}

function groupRequests(requests: DraftSituation['requests'], rates: AcceptanceRates): Group[] {
  const shared = rates.shared()
  /** by limit, or by id where a request differs from the others */
  const groups = new Map<number, Group>()
  for (const { id, limit } of requests) {
    const factor = rates.factor(id)
    const key = factor === 1 ? limit : -1 - id
    const group = groups.get(key) ?? { factor, probabilities: cumulative(shared, factor), limit, ids: [] }
    groups.set(key, group)
    group.ids.push(id)
  }
  return [...groups.values()]
}

function cumulative(rates: readonly number[], factor: number): number[] {
  let probability = 1
  return rates.map((rate) => {
    probability *= Math.min(rate * factor, 1)
    return probability
  })
}
