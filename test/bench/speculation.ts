/**
 * Measures speculative decoding: tokens per second of 1, 4 and 16 streams without it, with 0 to 4 MTP drafts, with a reduced draft
 * vocabulary, with n-grams, and with an adaptive number of drafts. Every round runs each setting once, in random order, so that a
 * drift of the machine's speed affects all settings alike. A ratio compares runs of the same round, and is given as geometric mean
 * with its 95 % interval. One setting is included twice: the difference between the two shows the noise. The first round of an
 * engine (kernels are compiled, the controller warms up) is reported separately.
 *
 * All engines share one device, because a driver may compile the same kernel differently for each. For differences of a few
 * per cent, open the engines on several devices (WEIR_BENCH_OPENINGS): the interval is then over the means of the openings.
 *
 * WEIR_BENCH_ROUNDS: measured rounds, 20 by default. WEIR_BENCH_OPENINGS: how often all engines are opened on a new device, with an
 * equal part of the rounds each, 1 by default. WEIR_BENCH_STREAMS: numbers of streams, "1,4,16" by default.
 * WEIR_BENCH_TEMPERATURE: 0.8 by default; 0 is greedy, which raises acceptance.
 * WEIR_BENCH_SETTINGS: names of settings as printed, separated by semicolons; all by default.
 */

import { OPENINGS as PROMPTS } from '../../src/demo/openings.ts'
import type { LLM, LoadOptions, StepRecord, StepTimes } from '../../src/index.ts'
import { BlastRandom } from '../helpers/blastRandom.ts'
import { FAIRY_TALES, load, OneDevice } from './engines.ts'
import { median } from './figures.ts'
import { type DeviceTimes, type Run, report } from './speculationReport.ts'
import { OPENINGS, ROUNDS, SETTINGS, type Setting, STREAMS, TEMPERATURE, TOKENS } from './speculationSettings.ts'

/** The least number of steps without drafts that the others are compared with. */
const ENOUGH = 8

interface Engine extends Setting {
  readonly llm: LLM
  readonly records: StepRecord[]
}

export async function run(): Promise<void> {
  const runs: Run[] = []
  const times = new Map<string, DeviceTimes>()
  const random = new BlastRandom(ROUNDS)
  for (let opening = 1; opening <= OPENINGS; opening++) {
    const device = new OneDevice()
    const engines: Engine[] = []
    // In random order, because the order of loading decides where an engine's memory lies.
    for (const setting of random.shuffled(SETTINGS)) {
      engines.push(await open(setting, device.gpu))
      console.log(`loaded: ${setting.name}`)
    }
    for (let round = 0; round <= ROUNDS; round++) {
      for (const streams of STREAMS) {
        for (const engine of random.shuffled(engines)) {
          runs.push(await measure(engine, streams, opening, round))
          if (round > 0) collect(times, `${engine.name}, ${streams}`, engine.records)
        }
      }
      console.log(`round ${round} of ${ROUNDS}${OPENINGS > 1 ? `, opening ${opening} of ${OPENINGS}` : ''}`)
    }
    const [first] = engines
    if (first && opening === OPENINGS) report(first.llm, runs, times)
    for (const { llm } of engines) await llm.dispose()
    device.close()
  }
}

async function open(setting: Setting, gpu: GPU): Promise<Engine> {
  const records: StepRecord[] = []
  const { speculative } = setting
  const options: LoadOptions = {
    maxNumBatchedTokens: 96,
    maxNumSeqs: 16,
    maxModelLen: 256,
    kvCacheTokens: 4096,
    enablePrefixCaching: false,
    ...(speculative && { speculative }),
    onStep: (record) => records.push(record),
  }
  const llm = await load(FAIRY_TALES, options, gpu)
  return { ...setting, llm, records }
}

async function measure(
  { llm, name, wanted, records }: Engine,
  streams: number,
  opening: number,
  round: number,
): Promise<Run> {
  records.length = 0
  const start = performance.now()
  const sampling = { temperature: TEMPERATURE, top_k: 50, top_p: 0.95, ignore_eos: true }
  const limit = wanted === undefined ? {} : { num_speculative_tokens: wanted }
  const fields = { max_tokens: TOKENS(streams), ...sampling, ...limit }
  const prompts = PROMPTS.slice(0, streams)
  await Promise.all(
    prompts.map((prompt, index) =>
      llm.generate(prompt, { ...fields, seed: (opening * (ROUNDS + 1) + round) * 16 + index }).result(),
    ),
  )
  const seconds = (performance.now() - start) / 1000
  const sum = (of: (record: StepRecord) => number): number => records.reduce((total, each) => total + of(each), 0)
  const tokens = sum(({ committedTokens }) => committedTokens)
  const decoding = records.filter(({ prefillRows }) => prefillRows === 0)
  const bare = decoding.filter(
    ({ proposedDrafts, draftRows, drafts }) => proposedDrafts + draftRows === 0 && drafts?.reason !== 'catch-up',
  )
  const usual = (phase: keyof StepTimes): number => median(decoding.map(({ ms }) => ms[phase] ?? Number.NaN))
  return {
    setting: name,
    streams,
    opening,
    round,
    tokensPerSecond: tokens / seconds,
    rowsPerStep: sum(({ baseRows, draftRows, prefillRows }) => baseRows + draftRows + prefillRows) / records.length,
    tokensPerStep: tokens / records.length,
    acceptance: sum(({ acceptedDrafts }) => acceptedDrafts) / sum(({ draftRows }) => draftRows),
    toBare: bare.length >= ENOUGH ? goodput(decoding) / goodput(bare) : Number.NaN,
    ms: {
      schedule: usual('schedule'),
      encode: usual('encode'),
      wait: usual('wait'),
      gpu: usual('gpu'),
      update: usual('update'),
    },
  }
}

/** Committed tokens per millisecond of the given steps. */
function goodput(records: readonly StepRecord[]): number {
  let tokens = 0
  let time = 0
  for (const { committedTokens, ms } of records) {
    tokens += committedTokens
    time += ms.schedule + ms.encode + ms.wait + ms.update
  }
  return tokens / time
}

function collect(times: Map<string, DeviceTimes>, key: string, records: readonly StepRecord[]): void {
  const of: DeviceTimes = times.get(key) ?? { verify: new Map(), draft: [] }
  times.set(key, of)
  for (const { prefillRows, draftRows, ms } of records) {
    if (prefillRows > 0 || ms.gpu === undefined || ms.draft === undefined) continue
    const verify = of.verify.get(draftRows) ?? []
    of.verify.set(draftRows, verify)
    verify.push(ms.gpu - ms.draft)
    of.draft.push(ms.draft)
  }
}
