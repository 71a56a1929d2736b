/**
 * Samples a request's rows and verifies its drafts: the token sampled at row j is committed, and draft j + 1 is accepted only if
 * it equals that token. Drafts are argmax, so this is exactly rejection sampling (Leviathan et al. 2023 with a one-hot q), and
 * the output equals decoding without speculation. Rows after the first rejected draft are not looked at.
 */

import type { RequestOutput } from '../core/stepPlan.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import { at } from '../util/math.ts'
import type { TableRow } from './requestTable.ts'
import { NO_TOKEN } from './sampling/choice.ts'
import { rowDigest } from './sampling/digest.ts'
import { RowSampler } from './sampling/rowSampler.ts'
import type { RequestRows } from './targetRows.ts'

/** What a step came to for a request, but for its proposals. */
export type Verified = Omit<RequestOutput, 'requestId' | 'generation' | 'proposed'>

const NOTHING: Verified = { accepted: 0, tokens: [], verified: [] }

export class Verification {
  readonly #vocabSize: number
  readonly #debug: EngineOptions['debug']['logits']
  readonly #sampler: RowSampler

  constructor(vocabSize: number, debug: EngineOptions['debug']['logits']) {
    this.#vocabSize = vocabSize
    this.#debug = debug
    this.#sampler = new RowSampler(vocabSize)
  }

  /**
   * Decides the request's tokens and advances its table row.
   * @param logits of its sampled rows, [k + 1][vocabSize]; rows of requests with penalties are changed
   */
  verify({ planned, table, firstPosition, ids }: RequestRows, logits: Float32Array): Verified {
    const { n, k } = planned
    table.computed = firstPosition + n
    if (!planned.samples) return NOTHING
    const verified = [...ids.subarray(n - k)]
    const reported: (string | Float32Array)[] = []
    const tokens: number[] = []
    let accepted = 0
    for (let j = 0; j <= k; j++) {
      const row = logits.subarray(j * this.#vocabSize, (j + 1) * this.#vocabSize)
      if (this.#debug !== 'off') reported.push(this.#debug === 'digest' ? rowDigest(row) : row.slice())
      const draft = verified[j]
      const sampled = this.#sample(table, row, firstPosition + n - k + j)
      if (sampled === NO_TOKEN) return { accepted, tokens: [], verified, numericError: true }
      const token = planned.verification === 'all' ? (draft ?? sampled) : sampled
      table.penalties?.count(token)
      tokens.push(token)
      if (token !== draft || planned.verification === 'none') break
      accepted++
    }
    table.computed -= k - accepted
    table.lastToken = at(tokens, accepted)
    return { accepted, tokens, verified, ...(this.#debug !== 'off' && { logits: reported }) }
  }

  #sample(table: TableRow, row: Float32Array, position: number): number {
    table.penalties?.adjust(row)
    return this.#sampler.choose(row, table.sampling, position)
  }
}
