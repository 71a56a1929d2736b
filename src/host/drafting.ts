/**
 * The drafter's part of a step: its KV pass over the rows whose next token is known by now, then one pass per draft. A request
 * drafts from its last row of the KV pass; rejected rows are left out, so that nothing of theirs is stored.
 */

import type { StepGeometry } from '../core/stepGeometry.ts'
import { at } from '../util/math.ts'
import { BatchRows } from './batchRows.ts'
import type { HostModel } from './hostModel.ts'
import type { TableRow } from './requestTable.ts'
import type { RequestRows } from './targetRows.ts'
import type { Verified } from './verification.ts'

/** A request of the step after verification. */
export interface VerifiedRows extends RequestRows {
  readonly verified: Verified
}

/** A request that drafts. */
interface Drafting {
  readonly table: TableRow
  readonly index: number
  /** drafts to propose */
  readonly m: number
  /** row of the KV pass to go on from */
  readonly source: number
}

export class Drafter {
  readonly #model: HostModel
  readonly #kvRows: BatchRows
  readonly #draftRows: BatchRows
  readonly #sources: Int32Array // [S]

  constructor(model: HostModel, { rows, seqs, drafts }: Pick<StepGeometry, 'rows' | 'seqs' | 'drafts'>) {
    const most = drafts > 0 ? { rows, seqs } : { rows: 0, seqs: 0 }
    this.#model = model
    this.#kvRows = new BatchRows(most.rows)
    this.#draftRows = new BatchRows(most.seqs)
    this.#sources = new Int32Array(most.seqs)
  }

  /** @returns the drafts proposed for each request, in the order given; none where a sampled row was not finite */
  async run(requests: readonly VerifiedRows[]): Promise<readonly number[][]> {
    this.#kvRows.clear()
    const drafting: Drafting[] = []
    requests.forEach((request, index) => {
      this.#pushKvRows(request)
      const { table, planned, verified } = request
      if (planned.m === 0 || verified.numericError) return
      drafting.push({ table, index, m: planned.m, source: this.#kvRows.count - 1 })
    })
    if (this.#kvRows.count > 0) await this.#model.kvPass(this.#kvRows)
    // Most drafts first, so that each pass runs a prefix.
    drafting.sort((a, b) => b.m - a.m || a.index - b.index)
    const proposed = requests.map((): number[] => [])
    const passes = drafting[0]?.m ?? 0
    for (let pass = 0; pass < passes; pass++) {
      const running = drafting.filter(({ m }) => m > pass)
      const drafts = pass === 0 ? await this.#firstPass(running) : await this.#nextPass(running, pass)
      running.forEach(({ table, index }, row) => {
        const draft = at(drafts, row)
        table.drafts[pass] = draft
        at(proposed, index).push(draft)
      })
    }
    return proposed
  }

  /** Rows of earlier steps to catch up on, then the request's rows of this step up to its last accepted one. */
  #pushKvRows({ planned, table, firstPosition, ids, verified }: VerifiedRows): void {
    planned.catchUpTokens.forEach((token, i) => {
      this.#kvRows.push(table, token, planned.catchUpFrom + i)
    })
    if (!planned.inKvPass) return
    // The token after a row is the next row's, then what was sampled there, or the known one after a chunk in the middle.
    const firstSampled = planned.samples ? planned.n - 1 - planned.k : planned.n
    for (let row = 0; row < firstSampled; row++) {
      this.#kvRows.push(table, ids[row + 1] ?? planned.nextToken, firstPosition + row)
    }
    verified.tokens.forEach((token, j) => {
      this.#kvRows.push(table, token, firstPosition + firstSampled + j)
    })
  }

  /** The KV pass has stored K and V of these rows. */
  #firstPass(running: readonly Drafting[]): Promise<Int32Array> {
    const rows = this.#draftRows
    rows.clear()
    running.forEach(({ table, source }, row) => {
      this.#sources[row] = source
      rows.push(table, at(this.#kvRows.ids, source), at(this.#kvRows.positions, source), false)
    })
    return this.#model.draft(rows, this.#sources.subarray(0, running.length))
  }

  /** Each request's last draft, one position further. */
  #nextPass(running: readonly Drafting[], pass: number): Promise<Int32Array> {
    const rows = this.#draftRows
    rows.clear()
    for (const { table, source } of running) {
      rows.push(table, at(table.drafts, pass - 1), at(this.#kvRows.positions, source) + pass)
    }
    return this.#model.draft(rows, undefined)
  }
}
