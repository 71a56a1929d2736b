/**
 * What a runner would do with the plans, and what its KV slots would then hold: the whole prefix of a token, for the drafter with
 * the token after it. Prefixes are interned, so two are equal when their numbers are. Reads are checked against the prefix that
 * is meant, so a block that is shared wrongly, evicted under a reader or written by a stranger is found out.
 */

import { BLOCK_SIZE } from '../../src/core/cost.ts'
import type { PlannedRequest, RequestOutput, StepPlan } from '../../src/core/stepPlan.ts'
import { assert, at } from '../../src/util/math.ts'
import type { BlastLedger, BlastTable } from './blastLedger.ts'
import { BLAST_VOCAB } from './blastPrompts.ts'
import { scramble } from './blastRandom.ts'
import type { BlastRequest } from './blastRequest.ts'
import type { BlastSetup } from './blastSetup.ts'

/** A prefix, under a salt. */
type Prefix = number

/** Nothing that a read may find. */
const STALE: Prefix = -1

interface DeviceRow {
  readonly table: BlastTable
  readonly lastPosition: number
  readonly root: Prefix
  /** of each computed token, the prefix that it ends */
  readonly path: Prefix[]
  lastToken: number
  drafts: number[]
}

export class BlastDevice {
  readonly #setup: BlastSetup
  readonly #ledger: BlastLedger
  readonly #prefixes = new Map<number, Prefix>()
  readonly #roots = new Map<string | undefined, Prefix>()
  #made = 0
  readonly #rows = new Map<number, DeviceRow>()
  readonly #target: Int32Array // [slots]
  readonly #drafter: Int32Array // [slots]

  constructor(setup: BlastSetup, ledger: BlastLedger) {
    this.#setup = setup
    this.#ledger = ledger
    this.#target = new Int32Array(setup.options.kvCacheTokens).fill(STALE)
    this.#drafter = new Int32Array(setup.options.kvCacheTokens).fill(STALE)
  }

  /** Runs a plan whose writes the ledger has taken in. @param requestOf the oracle's request of an id */
  run(plan: StepPlan, requestOf: (id: number) => BlastRequest): RequestOutput[] {
    const admitted = new Map(plan.tableWrites.map((write) => [write.generation, write]))
    for (const { requestId, tableRow, generation } of plan.requests) {
      const write = admitted.get(generation)
      if (!write) continue
      const { tokens, spec } = requestOf(requestId)
      const root = this.#root(spec.cacheSalt)
      const table = this.#ledger.table(generation)
      const path = this.#cachedPath(table, root, tokens)
      this.#rows.set(tableRow, { table, lastPosition: write.lastPosition, root, path, lastToken: -1, drafts: [] })
    }
    return plan.requests.map((planned) => this.#run(planned))
  }

  /** The prefixes of the cached tokens, each found in its slot, the drafter's with the token after it. */
  #cachedPath(table: BlastTable, root: Prefix, tokens: readonly number[]): Prefix[] {
    const path: Prefix[] = []
    for (let position = 0; position <= table.cached * BLOCK_SIZE; position++) {
      path.push(this.#extend(path.at(-1) ?? root, at(tokens, position)))
    }
    const next = path.pop()
    this.#checkReads(table, path)
    if (next !== undefined) this.#checkDrafterReads(table, path, next)
    return path
  }

  #run(planned: PlannedRequest): RequestOutput {
    const { requestId, generation, tableRow, n, k, m, samples, firstPosition, nextToken } = planned
    const row = this.#rows.get(tableRow)
    assert(row && row.table.generation === generation, `table row ${tableRow} is of generation ${generation}`)
    const { path, table, drafts } = row
    const first = path.length
    assert(planned.ids ? first === firstPosition : first <= firstPosition, 'the first position is right')
    assert(k <= drafts.length, `${k} of ${drafts.length} drafts are verified`)
    const ids = planned.ids ?? [row.lastToken, ...drafts.slice(0, k)]
    assert(ids.length === n && first + n - 1 <= row.lastPosition, `${n} rows end within the length limit`)
    for (const id of ids) {
      path.push(this.#extend(path.at(-1) ?? row.root, id))
      this.#write(this.#target, table, path.length - 1, at(path, path.length - 1))
    }
    this.#checkReads(table, path)
    const output = { requestId, generation, accepted: 0, tokens: [], verified: [], proposed: [] }
    if (!samples) {
      this.#drafterPass(row, first, nextToken)
      row.drafts = []
      return output
    }
    const tokens: number[] = []
    for (let i = path.length - 1 - k; i < path.length; i++) {
      tokens.push(this.#token(at(path, i)))
      if (tokens.at(-1) !== drafts[tokens.length - 1]) break
    }
    const accepted = tokens.length - 1
    path.length -= k - accepted
    row.lastToken = at(tokens, accepted)
    this.#drafterPass(row, first, row.lastToken)
    const verified = drafts.slice(0, k)
    row.drafts = this.#propose(row, m)
    return { ...output, accepted, tokens, verified, proposed: row.drafts }
  }

  /** The drafter's K and V of the step's accepted rows. */
  #drafterPass({ table, path }: DeviceRow, first: number, nextToken: number): void {
    const next = this.#extend(at(path, path.length - 1), nextToken)
    for (let position = first; position < path.length; position++) {
      this.#write(this.#drafter, table, position, path[position + 1] ?? next)
    }
    this.#checkDrafterReads(table, path, next)
  }

  /** Each pass after the first leaves something of its own one position further. */
  #propose({ table, path, lastToken, lastPosition }: DeviceRow, m: number): number[] {
    const drafts: number[] = []
    let prefix = this.#extend(at(path, path.length - 1), lastToken)
    for (let pass = 0; pass < m; pass++) {
      const position = path.length - 1 + pass
      if (pass > 0 && position <= lastPosition) this.#write(this.#drafter, table, position, STALE)
      const right = scramble(prefix ^ 0x2545f491) % 8 < this.#setup.rightInEight
      drafts.push((this.#token(prefix) + (right ? 0 : 1)) % BLAST_VOCAB)
      prefix = this.#extend(prefix, at(drafts, pass))
    }
    return drafts
  }

  #checkReads(table: BlastTable, path: readonly Prefix[]): void {
    path.forEach((prefix, position) => {
      assert(this.#target[slotOf(table, position)] === prefix, `position ${position} holds the prefix that is read`)
    })
  }

  /** @param next the prefix of all of the path and the token after it */
  #checkDrafterReads(table: BlastTable, path: readonly Prefix[], next: Prefix): void {
    if (this.#setup.options.speculative === undefined) return
    path.forEach((_, position) => {
      const held = this.#drafter[slotOf(table, position)]
      assert(held === (path[position + 1] ?? next), `the drafter's position ${position} holds the token after it`)
    })
  }

  #write(slots: Int32Array, table: BlastTable, position: number, prefix: Prefix): void {
    const slot = slotOf(table, position)
    const block = Math.floor(slot / BLOCK_SIZE)
    assert(position >= table.cached * BLOCK_SIZE, `position ${position} is not of the cached prefix`)
    assert(this.#ledger.holders(block) === 1, `block ${block} is written by its only holder`)
    slots[slot] = prefix
  }

  #token(prefix: Prefix): number {
    return scramble(prefix ^ Math.imul(this.#setup.seed, 0x27d4eb2d)) % BLAST_VOCAB
  }

  #root(salt: string | undefined): Prefix {
    const root = this.#roots.get(salt) ?? this.#made++
    this.#roots.set(salt, root)
    return root
  }

  #extend(prefix: Prefix, token: number): Prefix {
    const key = prefix * BLAST_VOCAB + token
    const longer = this.#prefixes.get(key) ?? this.#made++
    this.#prefixes.set(key, longer)
    return longer
  }
}

function slotOf({ blocks }: BlastTable, position: number): number {
  return at(blocks, Math.floor(position / BLOCK_SIZE)) * BLOCK_SIZE + (position % BLOCK_SIZE)
}
