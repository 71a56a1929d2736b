/**
 * Speculation through the real scheduler in virtual time: prompts come in beside decoding requests, rows run short, and requests
 * end. With the number of drafts chosen the whole run, what it took to learn included, is nearly as fast as with the best fixed
 * number, and nearly never slower than without drafts.
 */

import { describe, expect, it } from 'vitest'
import { parseArguments } from '../bench/simulator/arguments.ts'
import { figuresOf } from '../bench/simulator/figures.ts'
import { compare } from '../bench/simulator/main.ts'
import { FULL } from '../helpers/full.ts'

/** Tokens per second by number of drafts, of one trace. */
async function speeds(line: string): Promise<Record<string, number>> {
  const runs = await compare(parseArguments(line.split(' ')))
  return Object.fromEntries(runs.map(figuresOf).map(({ name, tokensPerSecond }) => [name, tokensPerSecond]))
}

const WORK = '--arrival burst --output lognormal:120,0.5 --kv-tokens 16384 --compare-drafts 0,1,2,3,4,adaptive'

/** Memory-bound, compute-bound, tiled, and one on which every row costs, those of the drafter too. */
const DEVICES = {
  flat: '--cost flat:10 --draft-cost 0.6',
  linear: '--cost linear:6,0.25 --draft-cost 0.5',
  stepped: '--cost stepped:4,16,4 --draft-cost 0.4 --kv-pass-cost 0.01',
  steep: '--cost linear:0.4,2 --draft-cost 6 --kv-pass-cost 0.1',
}

/** Where drafts bring most, a run is so short that learning is a good part of it. */
const SHORT = { s: 16, device: 'flat' }

/** [S, requests] */
const LOADS: readonly (readonly [number, number])[] = FULL
  ? [
      [1, 20],
      [4, 60],
      [16, 120],
    ]
  : [[4, 60]]

describe.each(Object.entries(DEVICES))('on a device of %s costs', (device, costs) => {
  it.each([0, 0.5, 0.9])('the number chosen is nearly as good as the best, acceptance %d', async (acceptance) => {
    for (const [s, requests] of LOADS) {
      const sizes = `--s ${s} --b ${Math.max(32, 8 * s)} --requests ${requests} --acceptance ${acceptance}`
      const { adaptive = 0, ...fixed } = await speeds(`${WORK} ${sizes} ${costs}`)
      const least = s === SHORT.s && device === SHORT.device ? 0.85 : 0.96
      expect(adaptive / Math.max(...Object.values(fixed)), `S = ${s}, to the best`).toBeGreaterThan(least)
      expect(adaptive / (fixed['0 drafts'] ?? 0), `S = ${s}, to none`).toBeGreaterThan(0.97)
    }
  })
})
