/**
 * A strict model of what a runner keeps on the device: the request table, block tables, and KV slots that remember which token
 * of which prefix they hold. Every read checks what it reads, and no write may reach a block that was ever shared, but for what
 * the drafter takes up late, which is the same for whoever shares it. It must never know the scheduler's state: only plans reach
 * it.
 */

import { BLOCK_SIZE, totalBlocks } from '../../src/core/cost.ts'
import type { BlockWrite, TableWrite } from '../../src/core/stepPlan.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { assert, at } from '../../src/util/math.ts'
import { EMPTY_PREFIX, extendPrefix, type PrefixState } from './mockModel.ts'

/** A row of the request table with its block table. */
export interface DeviceRow {
  readonly write: TableWrite
  readonly blocks: number[]
  /** for each of its blocks, how often it had been given out */
  readonly givings: number[]
  computed: number
  lastToken: number
  drafts: number[]
}

/** What a KV slot holds of the target: the token at a position, and the prefix it ends. */
interface TargetSlot {
  readonly position: number
  readonly token: number
  readonly state: PrefixState
}

/** What a slot of the drafter holds: the prefix, and the token after it. */
interface DrafterSlot {
  readonly state: PrefixState
  readonly nextToken: number
}

export class MockDevice {
  readonly #rows = new Map<number, DeviceRow>()
  /** generation that a block was last given to; the only one that writes to it */
  readonly #writers: (number | undefined)[]
  /** how often a block was given out to be written */
  readonly #givings: number[]
  /** blocks that another request took over as cached since they were given out: nobody writes to them */
  readonly #shared = new Set<number>()
  readonly #target: (TargetSlot | undefined)[]
  /** undefined without a drafter */
  readonly #drafter: (DrafterSlot | undefined)[] | undefined
  readonly #maxNumSeqs: number

  constructor(options: EngineOptions) {
    const blocks = totalBlocks(options)
    this.#maxNumSeqs = options.maxNumSeqs
    this.#writers = new Array(blocks).fill(undefined)
    this.#givings = new Array(blocks).fill(0)
    this.#target = new Array(blocks * BLOCK_SIZE).fill(undefined)
    const drafter = options.speculative?.method === 'mtp'
    this.#drafter = drafter ? new Array(blocks * BLOCK_SIZE).fill(undefined) : undefined
  }

  fillRow(write: TableWrite): void {
    assert(write.tableRow < this.#maxNumSeqs, `table row ${write.tableRow} exists`)
    for (const row of this.#rows.values()) assert(write.generation > row.write.generation, 'generations grow')
    assert(write.computed % BLOCK_SIZE === 0, 'whole blocks are cached')
    this.#rows.set(write.tableRow, {
      write,
      blocks: [],
      givings: [],
      computed: write.computed,
      lastToken: -1,
      drafts: [],
    })
  }

  /** The first blocks of a row, as far as its tokens were computed before, are shared; the others are given to it. */
  appendBlock({ tableRow, index, block }: BlockWrite): void {
    const row = this.#row(tableRow)
    assert(index === row.blocks.length, 'block tables are append-only')
    assert(block >= 0 && block < this.#writers.length, `block ${block} is in the pool`)
    if (index * BLOCK_SIZE < row.write.computed) {
      assert(at(this.#givings, block) > 0, `block ${block} holds what somebody wrote`)
      this.#shared.add(block)
    } else {
      this.#givings[block] = at(this.#givings, block) + 1
      this.#writers[block] = row.write.generation
      this.#shared.delete(block)
      this.#drafter?.fill(undefined, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE)
    }
    row.blocks.push(block)
    row.givings.push(at(this.#givings, block))
  }

  /** The row of a planned request, none of whose blocks may have been given to another since it got them. */
  row(tableRow: number, generation: number): DeviceRow {
    const row = this.#row(tableRow)
    assert(row.write.generation === generation, `table row ${tableRow} is of generation ${generation}`)
    row.blocks.forEach((block, index) => {
      assert(this.#givings[block] === row.givings[index], `block ${block} is still its own`)
    })
    return row
  }

  /** The prefix before a position, every token of it read from the cache. */
  readPrefix(row: DeviceRow, end: number): PrefixState {
    let state = EMPTY_PREFIX
    for (let position = 0; position < end; position++) {
      const slot = this.#target[slotOf(row, position)]
      if (slot?.position !== position) throw new Error(`KV at position ${position} is not valid`)
      state = extendPrefix(state, slot.token)
      if (slot.state !== state) throw new Error(`KV at position ${position} is of another prefix`)
    }
    return state
  }

  writeTarget(row: DeviceRow, position: number, token: number, state: PrefixState): void {
    if (position <= row.write.lastPosition) this.#target[this.#writable(row, position)] = { position, token, state }
  }

  /** Reads the drafter's cache before a position: each slot holds the prefix and the token that really follows it. */
  checkDrafter(row: DeviceRow, end: number): void {
    if (!this.#drafter) return
    for (let position = 0; position < end; position++) {
      const slot = slotOf(row, position)
      const next = this.#target[slotOf(row, position + 1)]
      const drafter = this.#drafter[slot]
      if (drafter === undefined || drafter.state !== this.#target[slot]?.state || drafter.nextToken !== next?.token) {
        throw new Error(`the drafter's KV at position ${position} is not of the prefix and the token after it`)
      }
    }
  }

  /** Takes up a row of an earlier step: the hidden state at its slot is still that of its prefix. @param baseToken the next row's */
  catchUpDrafter(row: DeviceRow, position: number, nextToken: number, baseToken: number): void {
    assert(this.#drafter, 'there is a drafter')
    const slot = slotOf(row, position)
    const target = this.#target[slot]
    assert(target !== undefined && position < row.computed, `position ${position} is computed`)
    const next = position + 1 < row.computed ? this.#target[slotOf(row, position + 1)]?.token : baseToken
    assert(next === nextToken, `token ${nextToken} follows position ${position}`)
    this.#drafter[slot] = { state: target.state, nextToken }
  }

  writeDrafter(row: DeviceRow, position: number, state: PrefixState, nextToken: number): void {
    if (!this.#drafter || position > row.write.lastPosition) return
    this.#drafter[this.#writable(row, position)] = { state, nextToken }
  }

  /** The slot of a position in a block that was given to the row and that nobody shares. */
  #writable(row: DeviceRow, position: number): number {
    const slot = slotOf(row, position)
    const block = Math.floor(slot / BLOCK_SIZE)
    const own = this.#writers[block] === row.write.generation && !this.#shared.has(block)
    assert(own, `position ${position} is written in a block of its own, not in block ${block}`)
    return slot
  }

  #row(tableRow: number): DeviceRow {
    const row = this.#rows.get(tableRow)
    if (!row) throw new Error(`table row ${tableRow} was never filled`)
    return row
  }
}

function slotOf(row: DeviceRow, position: number): number {
  const block = row.blocks[Math.floor(position / BLOCK_SIZE)]
  if (block === undefined) throw new Error(`position ${position} has no block`)
  return block * BLOCK_SIZE + (position % BLOCK_SIZE)
}
