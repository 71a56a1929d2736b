/**
 * Which blocks hold which prefix. A node stands for one full block's content after one prefix, under one salt; two requests may
 * have computed the same, so a node lists every block that holds it and is forgotten with the last of them.
 *
 * With a drafter the content of a block takes in the token after it: the drafter's K and V at a position depend on the next
 * token, so those of a block's last slot are a function of these ids, and of the block's own ids alone they are not.
 *
 * It must never know who holds a block, or when it is free. Its owner keeps the law that nodes rely on: whoever holds a block
 * of a node holds one of each node before it, and a request's blocks become free last one first. So a node outlives all that
 * continue it.
 */

import { assert, at } from '../../util/math.ts'
import { BLOCK_SIZE } from '../cost.ts'
import type { Request } from '../request.ts'
import { type HashBlock, saltHash } from './blockHash.ts'

interface PrefixNode {
  readonly hash: number
  /** the node of the block before, by identity: two chains are equal when they end in the same node */
  readonly parent: PrefixNode | undefined
  /** of the request; compared where there is no parent */
  readonly salt: string | undefined
  // [BLOCK_SIZE], with a drafter one more
  readonly ids: readonly number[]
  readonly blocks: number[]
}

export class PrefixCache {
  readonly #hashBlock: HashBlock
  /** tokens after a block that its content depends on */
  readonly #lookahead: 0 | 1
  /** by hash: of two contents with one hash the first is kept */
  readonly #nodes = new Map<number, PrefixNode>()
  readonly #nodeOf: (PrefixNode | undefined)[] // [totalBlocks]

  constructor(totalBlocks: number, drafter: boolean, hashBlock: HashBlock) {
    this.#hashBlock = hashBlock
    this.#lookahead = drafter ? 1 : 0
    this.#nodeOf = new Array(totalBlocks).fill(undefined)
  }

  /** Whether a block holds a prefix that can be found. */
  has(block: number): boolean {
    return this.#nodeOf[block] !== undefined
  }

  /**
   * The chained hash of a full block of the request; undefined where a hit must not reach, as one known token at least has to
   * be computed. With a drafter that token is also the one after the last block.
   */
  key(request: Request, index: number): number | undefined {
    return index < findableBlocks(request) ? this.#hash(request, index) : undefined
  }

  /** For each block of the longest prefix that can be found, the blocks that hold it. */
  find(request: Request): readonly (readonly number[])[] {
    const found: (readonly number[])[] = []
    const end = findableBlocks(request)
    let parent: PrefixNode | undefined
    for (let index = 0; index < end; index++) {
      const node = this.#nodes.get(this.#hash(request, index))
      if (!node || !this.#holds(node, request, index, parent)) break
      found.push(node.blocks)
      parent = node
    }
    return found
  }

  /** Full blocks of a request that can be registered once so many of its tokens are computed. */
  registrable(request: Request, computed: number): number {
    return Math.floor(Math.min(computed, request.tokens.length - this.#lookahead) / BLOCK_SIZE)
  }

  /**
   * Makes a full, computed block findable.
   * @param before the block before it in the request's table; undefined of the first
   */
  register(request: Request, index: number, block: number, before: number | undefined): void {
    assert(!this.has(block), `block ${block} is registered once`)
    const parent = before === undefined ? undefined : this.#nodeOf[before]
    // The chain has a gap: the cache was reset, or the prefix collides with another.
    if (before !== undefined && !parent) return
    const hash = this.#hash(request, index)
    let node = this.#nodes.get(hash)
    if (node && !this.#holds(node, request, index, parent)) return
    if (!node) {
      const begin = index * BLOCK_SIZE
      const ids = request.tokens.slice(begin, begin + BLOCK_SIZE + this.#lookahead)
      node = { hash, parent, salt: request.spec.cacheSalt, ids, blocks: [] }
      this.#nodes.set(hash, node)
    }
    node.blocks.push(block)
    this.#nodeOf[block] = node
  }

  /** The content of a block is about to be lost. */
  forget(block: number): void {
    const node = this.#nodeOf[block]
    if (!node) return
    this.#nodeOf[block] = undefined
    node.blocks.splice(node.blocks.indexOf(block), 1)
    if (node.blocks.length === 0) this.#nodes.delete(node.hash)
  }

  /** Forgets everything. */
  reset(): void {
    this.#nodes.clear()
    this.#nodeOf.fill(undefined)
  }

  /** Throws unless `block` holds what comes after `before`, a block of the same table, or begins a prompt. */
  checkChain(block: number, before: number | undefined): void {
    const node = this.#nodeOf[block]
    if (!node) return
    const parent = before === undefined ? undefined : this.#nodeOf[before]
    assert(node.parent === parent && (before === undefined || parent), `block ${block} continues the one before it`)
  }

  /** Throws unless nodes and blocks agree and every node's parent is there. */
  checkIntegrity(): void {
    let listed = 0
    for (const [hash, node] of this.#nodes) {
      const { parent, blocks, ids } = node
      listed += blocks.length
      assert(node.hash === hash && ids.length === BLOCK_SIZE + this.#lookahead, `node ${hash} is whole`)
      assert(blocks.length > 0, `node ${hash} has a block`)
      for (const block of blocks) assert(this.#nodeOf[block] === node, `block ${block} is of node ${hash}`)
      if (!parent) continue
      assert(this.#nodes.get(parent.hash) === parent, `the parent of node ${hash} is there`)
      const follows = this.#lookahead === 0 || parent.ids[BLOCK_SIZE] === ids[0]
      assert(parent.salt === node.salt && follows, `node ${hash} continues its parent`)
    }
    const registered = this.#nodeOf.reduce((sum, node) => sum + (node ? 1 : 0), 0)
    assert(listed === registered, `${listed} blocks are listed, ${registered} are registered`)
  }

  /** Whether the node is that of block `index` of the request, whose block before is of `parent`. */
  #holds(node: PrefixNode, request: Request, index: number, parent: PrefixNode | undefined): boolean {
    if (node.parent !== parent || (!parent && node.salt !== request.spec.cacheSalt)) return false
    const begin = index * BLOCK_SIZE
    for (let i = 0; i < node.ids.length; i++) if (node.ids[i] !== request.tokens[begin + i]) return false
    return true
  }

  /** Committed tokens only grow, so a hash once computed stays. */
  #hash({ blockHashes, tokens, spec }: Request, index: number): number {
    for (let i = blockHashes.length; i <= index; i++) {
      const parent = i === 0 ? saltHash(spec.cacheSalt) : at(blockHashes, i - 1)
      const begin = i * BLOCK_SIZE
      blockHashes.push(this.#hashBlock(parent, tokens, begin, begin + BLOCK_SIZE + this.#lookahead))
    }
    return at(blockHashes, index)
  }
}

function findableBlocks({ tokens }: Request): number {
  return Math.floor((tokens.length - 1) / BLOCK_SIZE)
}
