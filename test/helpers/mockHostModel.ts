/**
 * A HostModel of a few integer operations: logits and drafts are a function of the whole prefix, which it reads token by token
 * through block tables and slots, so a wrong slot, position, table or stale K and V changes or fails everything after it. It
 * agrees with `mockModel.ts` on the likeliest token and on drafts. It must never know a plan.
 */

import { BLOCK_SIZE } from '../../src/core/cost.ts'
import { GREEDY, type SamplingParams } from '../../src/core/samplingParams.ts'
import { type HostModel, NO_SLOT, type RowBatch, type RowRun } from '../../src/host/hostModel.ts'
import { assert, at } from '../../src/util/math.ts'
import { hostToken } from './hostSampling.ts'
import { draftToken, EMPTY_PREFIX, extendPrefix, MOCK_VOCAB_SIZE, type PrefixState, sampleToken } from './mockModel.ts'

/** Logits after a prefix: the token that the mock model says is as likely as all others together, at temperature 1. */
export function logitsOf(state: PrefixState): Float32Array {
  let random = state | 1
  const logits = Float32Array.from({ length: MOCK_VOCAB_SIZE }, () => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0
    return (random >>> 8) / 2 ** 21 - 4
  })
  logits[sampleToken(state, GREEDY)] = 8.8
  return logits
}

/** The token after a prefix of an unadjusted request, for `MockRunnerOptions.sample`. */
export function sampleLogits(state: PrefixState, sampling: SamplingParams, position: number): number {
  return hostToken({ logits: logitsOf(state), sampling, position })
}

export interface MockHostOptions {
  /** drafts that are right, in eighths */
  readonly rightInEight?: number
  /** prefixes whose logits hold a NaN */
  readonly notFinite?: (state: PrefixState) => boolean
  /** called before each pass; may throw */
  readonly beforePass?: (pass: 'forward' | 'kvPass' | 'draft') => void | Promise<void>
}

/** What a slot holds of the target, and its stored hidden state. */
interface TargetSlot {
  readonly position: number
  readonly token: number
  readonly state: PrefixState
}

/** What a slot of the drafter holds. */
interface DrafterSlot {
  readonly state: PrefixState
  readonly nextToken: number
}

/** A row of the latest KV or draft pass. */
interface DraftedRow {
  readonly position: number
  /** the prefix with the row's token after it */
  readonly state: PrefixState
  /** undefined: of a KV pass */
  readonly draft: number | undefined
}

export class MockHostModel implements HostModel {
  /** arrays that came with batches */
  readonly arrays = new Set<Int32Array>()
  /** rows of each `forward` */
  readonly forwardRows: number[] = []
  readonly #options: MockHostOptions
  readonly #target = new Map<number, TargetSlot>()
  readonly #drafter = new Map<number, DrafterSlot>()
  #latest: readonly DraftedRow[] = []
  #logits = new Float32Array()
  #busy = false

  constructor(options: MockHostOptions = {}) {
    this.#options = options
  }

  forward(rows: RowBatch, sampled: Int32Array): Promise<Float32Array> {
    return this.#pass('forward', rows, () => {
      this.forwardRows.push(rows.count)
      eachRow(rows, (row, position) => {
        const slot = at(rows.slots, row)
        // A state that no prefix has, until the row is computed.
        if (slot !== NO_SLOT) this.#target.set(slot, { position, token: at(rows.ids, row), state: -1 })
      })
      const states: PrefixState[] = []
      eachRow(rows, (row, position, run) => {
        const state = extendPrefix(this.#prefix(run, position), at(rows.ids, row))
        const slot = at(rows.slots, row)
        if (slot !== NO_SLOT) {
          assert(slot === slotOf(run, position), `position ${position} is written where it is read`)
          this.#target.set(slot, { position, token: at(rows.ids, row), state })
        }
        states.push(state)
      })
      this.#logits = new Float32Array(sampled.length * MOCK_VOCAB_SIZE)
      sampled.forEach((row, index) => {
        const state = at(states, row)
        const logits = logitsOf(state)
        if (this.#options.notFinite?.(state)) logits[state % MOCK_VOCAB_SIZE] = Number.NaN
        this.#logits.set(logits, index * MOCK_VOCAB_SIZE)
      })
      return this.#logits
    })
  }

  kvPass(rows: RowBatch): Promise<void> {
    return this.#pass('kvPass', rows, () => {
      const latest: DraftedRow[] = []
      eachRow(rows, (row, position, run) => {
        const slot = at(rows.slots, row)
        const hidden = this.#target.get(slot)
        assert(slot === slotOf(run, position) && hidden?.position === position, `row ${row} has its hidden state`)
        const nextToken = at(rows.ids, row)
        this.#drafter.set(slot, { state: hidden.state, nextToken })
        latest.push({ position, state: extendPrefix(hidden.state, nextToken), draft: undefined })
      })
      this.#latest = latest
    })
  }

  draft(rows: RowBatch, sources: Int32Array | undefined): Promise<Int32Array> {
    return this.#pass('draft', rows, () => {
      assert(rows.runs.length === rows.count, 'each row is a run of its own')
      const latest: DraftedRow[] = []
      eachRow(rows, (row, position, run) => {
        const before = at(this.#latest, sources ? at(sources, row) : row)
        const slot = at(rows.slots, row)
        const id = at(rows.ids, row)
        assert((before.draft === undefined) === (sources !== undefined), 'only the first pass goes on from the KV pass')
        if (sources) assert(slot === NO_SLOT && position === before.position, `row ${row} is the one it goes on from`)
        else assert(id === before.draft, `row ${row} has the draft that was returned`)
        if (slot !== NO_SLOT) {
          assert(position === before.position + 1 && slot === slotOf(run, position), `row ${row} is one further`)
          this.#drafter.set(slot, { state: before.state, nextToken: id })
        }
        // Past the last position nothing is stored, and what comes of it is not used.
        if (sources || slot !== NO_SLOT) this.#checkDrafter(run, position)
        const state = sources ? before.state : extendPrefix(before.state, id)
        latest.push({ position, state, draft: draftToken(state, this.#options.rightInEight ?? 5) })
      })
      this.#latest = latest
      return Int32Array.from(latest, ({ draft }) => draft ?? -1)
    })
  }

  /** The state before a position, every token of it read from the cache and of the prefix before it. */
  #prefix(run: RowRun, end: number): PrefixState {
    let state = EMPTY_PREFIX
    for (let position = 0; position < end; position++) {
      const slot = this.#target.get(slotOf(run, position))
      assert(slot?.position === position, `KV at position ${position} is valid`)
      state = extendPrefix(state, slot.token)
    }
    return state
  }

  /** The drafter's K and V up to a position are of one text: each has the prefix of the one before and that one's next token. */
  #checkDrafter(run: RowRun, end: number): void {
    let state = extendPrefix(EMPTY_PREFIX, this.#target.get(slotOf(run, 0))?.token ?? -1)
    for (let position = 0; position <= end; position++) {
      const slot = this.#drafter.get(slotOf(run, position))
      assert(slot?.state === state, `the drafter's KV at position ${position} is of its prefix`)
      state = extendPrefix(state, slot.nextToken)
    }
  }

  /** One pass at a time, with logits of an earlier one overwritten. */
  async #pass<T>(pass: 'forward' | 'kvPass' | 'draft', rows: RowBatch, run: () => T): Promise<T> {
    assert(!this.#busy, 'one pass at a time')
    this.#busy = true
    try {
      this.#logits.fill(Number.NaN)
      await this.#options.beforePass?.(pass)
      assert(rows.count > 0, 'a pass has rows')
      for (const array of [rows.ids, rows.positions, rows.slots]) this.arrays.add(array)
      return run()
    } finally {
      this.#busy = false
    }
  }
}

/** Rows in order, which runs must cover. */
function eachRow(rows: RowBatch, visit: (row: number, position: number, run: RowRun) => void): void {
  let row = 0
  for (const run of rows.runs) {
    assert(run.firstRow === row && run.rows > 0, `a run begins at row ${row}`)
    for (let i = 0; i < run.rows; i++, row++) {
      const position = at(rows.positions, row)
      assert(position === run.position + i, `row ${row} is at position ${run.position + i}`)
      visit(row, position, run)
    }
  }
  assert(row === rows.count, 'the runs cover the rows')
}

function slotOf({ blocks }: RowRun, position: number): number {
  return at(blocks, Math.floor(position / BLOCK_SIZE)) * BLOCK_SIZE + (position % BLOCK_SIZE)
}
