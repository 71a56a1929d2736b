/**
 * Checks on this device what `shaders/ORDER.md` requires but WGSL does not guarantee: that all code paths which can serve
 * the same row give the same bits. Takes milliseconds at the end of loading.
 */

import { BLOCK_SIZE } from '../core/cost.ts'
import { SPLIT_KEYS } from '../kernels/attentionPlan.ts'
import { kvBytes } from '../kernels/kvCache.ts'
import { targetOps } from './forward.ts'
import type { KernelSet } from './kernelSet.ts'
import type { Dispatch } from './program.ts'
import type { TuningBench } from './tuningBench.ts'

/** blocks of the cache filled with random keys and values: a few splits */
const NOISY_BLOCKS = (4 * SPLIT_KEYS) / BLOCK_SIZE

/**
 * Whether attention may use partials and the merge kernel: only if rows then have the same bits as rows that merge their
 * splits in sequence, on random data. The serial kernel never leaves partials.
 */
export async function mayLeavePartials(bench: TuningBench, kernels: KernelSet): Promise<boolean> {
  const { geometry, spec } = bench.model
  if (kernels.attention.name === 'serial' || geometry.maxParts === 0) return false
  const attention = await bench.build(targetOps({ ...bench.model, kernels }), [
    'expandStep',
    'layer0.attention',
    'layer0.merge',
  ])
  const ids = new Array<number>(Math.min(geometry.drafts + 1, geometry.rows)).fill(0)
  const first = Math.max(0, geometry.maxBlocks * BLOCK_SIZE - ids.length)
  const words = ids.length * spec.numHeads * spec.headDim
  bench.write('q', noise(words, 1))
  writeNoisyCache(bench)
  const attend = async (decoding: boolean) => {
    await bench.run(attention, bench.upload.write(bench.plan(ids, first, decoding)))
    return bench.read('attention', words)
  }
  return equal(await attend(false), await attend(true))
}

/**
 * Whether a row has the same bits alone and as the first of several, through the first block: some kernels have a
 * separate path for few rows.
 */
export async function rowsAreInvariant(bench: TuningBench, program: readonly Dispatch[]): Promise<boolean> {
  const { geometry, spec } = bench.model
  const block = program.slice(0, program.findLastIndex(({ label }) => label.startsWith('layer0.')) + 1)
  const most = Math.min(geometry.rows, BLOCK_SIZE)
  const ids = Array.from({ length: most }, (_, index) => (7 + 31 * index) % spec.vocabSize)
  const firstRow = async (rows: number) => {
    await bench.run(block, bench.upload.write(bench.plan(ids.slice(0, rows), 0)))
    return bench.read('residual', spec.hiddenSize)
  }
  const alone = await firstRow(1)
  for (const rows of [2, 3, most]) {
    if (rows <= most && !equal(alone, await firstRow(rows))) return false
  }
  return true
}

/** Writes random K and V to the first blocks of the first layer. K is the first half of a cache, V the second. */
function writeNoisyCache(bench: TuningBench): void {
  const { geometry, spec, kvDtype } = bench.model
  const halfWords = (blocks: number) => kvBytes(blocks, spec.numKvHeads, spec.headDim, kvDtype) / 8
  const words = halfWords(Math.min(NOISY_BLOCKS, geometry.totalBlocks))
  const values = kvDtype === 'f32' ? noise : halfNoise
  bench.write('kv.0', values(words, 2))
  bench.write('kv.0', values(words, 3), halfWords(geometry.totalBlocks))
}

function equal(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((word, index) => word === b[index])
}

/** Seeded values in (-1, 1): a linear congruential generator with the constants of Numerical Recipes. */
function noise(length: number, seed: number): Float32Array<ArrayBuffer> {
  let state = seed
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}

/** Words of two seeded float16 values each, of magnitude 2^-5 to 2. */
function halfNoise(length: number, seed: number): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(new Uint32Array(noise(length, seed).buffer), (bits) => {
    const scrambled = Math.imul(bits, 0x9e3779b1) >>> 0
    return ((scrambled & 0x93ff93ff) | 0x28002800) >>> 0
  })
}
