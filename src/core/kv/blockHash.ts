/**
 * Chained hashes of full blocks: equal content after an equal prefix has an equal hash. Only a hint: a caller that finds a block by
 * its hash compares the content, so a collision costs a miss and nothing else. Pure; it must never know a block.
 */

import { at } from '../../util/math.ts'

/** The hash of `tokens[begin]`…`tokens[end - 1]` after the prefix, or the salt, of hash `parent`: any 32-bit integer. */
export type HashBlock = (parent: number, tokens: readonly number[], begin: number, end: number) => number

/** MurmurHash3 of 32 bits (Appleby, public domain), one word per token. */
export const hashBlock: HashBlock = (parent, tokens, begin, end) => {
  let hash = parent
  for (let i = begin; i < end; i++) hash = mix(hash, at(tokens, i))
  return finish(hash, end - begin)
}

/** What the first block of a prompt is chained to. */
export function saltHash(salt: string | undefined): number {
  if (salt === undefined) return 0
  let hash = 1
  for (let i = 0; i < salt.length; i++) hash = mix(hash, salt.charCodeAt(i))
  return finish(hash, salt.length)
}

function mix(hash: number, word: number): number {
  const mixed = hash ^ Math.imul(rotate(Math.imul(word, 0xcc9e2d51), 15), 0x1b873593)
  return (Math.imul(rotate(mixed, 13), 5) + 0xe6546b64) | 0
}

function finish(hash: number, words: number): number {
  let h = hash ^ (words * 4)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits))
}
