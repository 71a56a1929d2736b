/** Requests and managers for tests of the KV cache alone. Prompts are spelt in capitals: a letter is a block of its own tokens. */

import { BLOCK_SIZE } from '../../src/core/cost.ts'
import type { HashBlock } from '../../src/core/kv/blockHash.ts'
import { type CachedPrefix, KvCacheManager } from '../../src/core/kv/kvCacheManager.ts'
import { Request } from '../../src/core/request.ts'
import { SchedulingState } from '../../src/core/schedule/schedulingState.ts'
import type { EngineOptions } from '../../src/protocol/engineOptions.ts'
import { GREEDY, mtp } from './coreFixtures.ts'

export type KvOptions = Pick<EngineOptions, 'kvCacheTokens' | 'enablePrefixCaching' | 'speculative'>

export function kvOptions(blocks: number, changes: Partial<KvOptions> = {}): KvOptions {
  return { kvCacheTokens: blocks * BLOCK_SIZE, enablePrefixCaching: true, speculative: undefined, ...changes }
}

export function kvManager(blocks: number, hashBlock?: HashBlock): KvCacheManager {
  return new KvCacheManager(kvOptions(blocks), hashBlock)
}

/** A manager for a model with a drafter: what a block holds depends on the token after it. */
export function drafterManager(blocks: number): KvCacheManager {
  return new KvCacheManager(kvOptions(blocks, { speculative: mtp(2) }))
}

/** A block of tokens per letter, cut at `length`: `spell('AB')` is two blocks, `spell('AB', 17)` ends in the first token of B. */
export function spell(letters: string, length = letters.length * BLOCK_SIZE): number[] {
  const tokens = [...letters].flatMap((letter) => Array.from({ length: BLOCK_SIZE }, (_, i) => tokenOf(letter, i)))
  return tokens.slice(0, length)
}

/** `count` tokens that continue `tokens` as if the rest were spelt with `letter`. */
export function spellOn(tokens: readonly number[], letter: string, count: number): number[] {
  return Array.from({ length: count }, (_, i) => tokenOf(letter, (tokens.length + i) % BLOCK_SIZE))
}

function tokenOf(letter: string, index: number): number {
  return (letter.charCodeAt(0) - 64) * BLOCK_SIZE + index
}

export function requestOf(id: number, promptTokenIds: readonly number[], cacheSalt?: string): Request {
  const spec = { id, promptTokenIds, maxTotal: promptTokenIds.length + 1000, sampling: GREEDY, priority: 0, cacheSalt }
  return new Request(spec, new SchedulingState(0, id, 0, 1))
}

/** Admits a request with what is cached of it, gives all its tokens a slot, and computes them. */
export function serve(kv: KvCacheManager, request: Request): CachedPrefix {
  const cached = kv.findCached(request)
  kv.admit(request, cached)
  compute(kv, request)
  return cached
}

/** All tokens of a running request get a slot and are computed. */
export function compute(kv: KvCacheManager, request: Request): void {
  kv.allocate(request.id, request.tokens.length)
  kv.register(request, request.tokens.length)
  kv.checkIntegrity()
}

/** A request that came and went; what it computed stays. */
export function visit(kv: KvCacheManager, request: Request): readonly number[] {
  serve(kv, request)
  const table = [...kv.table(request.id)]
  kv.release(request.id)
  kv.checkIntegrity()
  return table
}

/** Blocks found for a prompt. */
export function found(kv: KvCacheManager, tokens: readonly number[], salt?: string): readonly number[] {
  return kv.findCached(requestOf(-1, tokens, salt)).blocks
}
