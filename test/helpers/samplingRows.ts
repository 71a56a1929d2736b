/** Rows of logits for sampling tests: ordinary ones and every odd one we could think of. */

import { seededRandom } from './random.ts'

/** Roughly normal logits. */
export function normalLogits(vocabSize: number, scale: number, seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: vocabSize }, () => scale * (random() + random() + random() + random() - 2))
}

/** Named rows without an invalid value. */
export function validRows(vocabSize: number, seed: number): Record<string, Float32Array> {
  const normal = normalLogits(vocabSize, 4, seed)
  const map = (f: (x: number, id: number) => number) => normal.map(f)
  return {
    normal,
    narrow: normalLogits(vocabSize, 0.25, seed + 1),
    wide: normalLogits(vocabSize, 40, seed + 2),
    shifted: map((x) => x - 1e4),
    ties: map((x) => Math.round(x)),
    equal: map(() => -3.25),
    zeros: map((_, id) => (id % 3 === 1 ? 0 : -0)),
    zerosBelow: map((x, id) => (x > 1 ? x : id % 2 === 0 ? 0 : -0)),
    peak: map((_, id) => (id === vocabSize - 1 ? 30 : -30)),
    twoPeaks: map((x, id) => (id === vocabSize - 1 || id === 2 ? 25 : x)),
    hugeNegative: map((x, id) => (id % 4 === 3 ? x : -3.4028234663852886e38)),
    hugeRange: map((x) => x * 1e32),
    masked: map((x, id) => (id % 5 === 0 ? -Infinity : x)),
    oneLeft: map((_, id) => (id === vocabSize >> 1 ? -7 : -Infinity)),
    subnormal: map((_, id) => ((id * 7) % vocabSize) * 2 ** -149),
  }
}

/** Named rows that end their request. */
export function invalidRows(vocabSize: number, seed: number): Record<string, Float32Array> {
  const put = (value: number, id: number) => normalLogits(vocabSize, 4, seed).with(id, value)
  const negativeNaN = normalLogits(vocabSize, 4, seed)
  new Uint32Array(negativeNaN.buffer)[0] = 0xffc00001
  return {
    nanFirst: put(NaN, 0),
    nanLast: put(NaN, vocabSize - 1),
    negativeNaN,
    infinite: put(Infinity, vocabSize >> 1),
    allMasked: new Float32Array(vocabSize).fill(-Infinity),
    nanAmongMasked: new Float32Array(vocabSize).fill(-Infinity).with(3, NaN),
  }
}
