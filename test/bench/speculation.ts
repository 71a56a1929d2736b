/**
 * What speculation brings: tokens per second of 1, 4 and 16 streams without it, with 0 to 4 drafts of the model's own drafter,
 * from part of the vocabulary, with n-grams, and with the number of drafts chosen. Every round runs each setting once, in an order
 * drawn anew, so that a machine whose speed drifts slows all of them alike and nobody has always the same neighbour. A ratio is of
 * two runs of the same round; it is given as geometric mean with its 95 % interval. One setting is there twice: how far the two
 * seem apart says what the others' figures are worth. What the first round of an engine costs (a driver compiles, the controller
 * learns) is told apart.
 *
 * WEIR_BENCH_ROUNDS: rounds that count, 20 by default. WEIR_BENCH_STREAMS: numbers of streams, "1,4,16" by default.
 * WEIR_BENCH_TEMPERATURE: 0.8 by default; 0 is greedy, of which drafts guess more.
 * WEIR_BENCH_SETTINGS: names of settings, as they are printed, with semicolons between them; all by default.
 */

import { OPENINGS } from '../../src/demo/openings.ts'
import type { LLM, SpeculativeLoadOptions, StepRecord, StepTimes } from '../../src/index.ts'
import { BlastRandom } from '../helpers/blastRandom.ts'
import { FAIRY_TALES, load } from './engines.ts'
import { median, printTable, type Ratio, ratio, writeFigure } from './figures.ts'

const { WEIR_BENCH_ROUNDS = '20', WEIR_BENCH_STREAMS = '1,4,16', WEIR_BENCH_TEMPERATURE = '0.8' } = process.env
const { WEIR_BENCH_SETTINGS } = process.env
const ROUNDS = Number(WEIR_BENCH_ROUNDS)
const STREAMS = WEIR_BENCH_STREAMS.split(',').map(Number)
const TEMPERATURE = Number(WEIR_BENCH_TEMPERATURE)
const MOST = 4
/** Tokens of each stream: of a single one more, because the steps are short and the machine is noisy. */
const TOKENS = (streams: number): number => (streams === 1 ? 64 : 32)
const REDUCED_VOCAB = 1024

interface Setting {
  readonly name: string
  readonly speculative: SpeculativeLoadOptions | undefined
  /** drafts that every request wants at most; undefined: as many as there are */
  readonly wanted?: number
}

const mtp = (drafts: number): SpeculativeLoadOptions => ({
  method: 'mtp',
  numSpeculativeTokens: drafts,
  adaptive: false,
})

const FIXED: readonly Setting[] = Array.from({ length: MOST + 1 }, (_, drafts) => ({
  name: `${drafts} drafts`,
  speculative: mtp(drafts),
}))

/** A drafter whose cache is kept up to date, and that nobody asks: what being able to draft costs. */
const READY: Setting = { name: `0 of ${MOST}`, speculative: mtp(MOST), wanted: 0 }

const ALL: readonly Setting[] = [
  { name: 'off', speculative: undefined },
  ...FIXED,
  { name: '0 drafts, again', speculative: mtp(0) },
  READY,
  { name: `2 of ${REDUCED_VOCAB}`, speculative: { ...mtp(2), draftVocabSize: REDUCED_VOCAB } },
  { name: 'adaptive', speculative: { method: 'mtp', numSpeculativeTokens: MOST } },
  { name: 'n-gram', speculative: { method: 'ngram', numSpeculativeTokens: MOST, adaptive: false } },
  { name: 'n-gram, adaptive', speculative: { method: 'ngram', numSpeculativeTokens: MOST } },
]

const SETTINGS = ALL.filter(({ name }) => (WEIR_BENCH_SETTINGS?.split(';') ?? [name]).includes(name))

interface Engine extends Setting {
  readonly llm: LLM
  readonly records: StepRecord[]
}

interface Run {
  readonly setting: string
  readonly streams: number
  /** 0 does not count */
  readonly round: number
  readonly tokensPerSecond: number
  readonly rowsPerStep: number
  readonly tokensPerStep: number
  /** accepted of verified drafts; NaN without drafts */
  readonly acceptance: number
  /** medians of the steps that only decode */
  readonly ms: Readonly<Record<'schedule' | 'encode' | 'wait' | 'gpu' | 'update', number>>
}

/** Milliseconds on the device of the steps that only decode, of one setting and number of streams. */
interface DeviceTimes {
  /** target model and choice of tokens, by draft rows */
  readonly verify: Map<number, number[]>
  /** of the drafter */
  readonly draft: number[]
}

export async function run(): Promise<void> {
  const engines: Engine[] = []
  for (const setting of SETTINGS) {
    engines.push(await open(setting))
    console.log(`loaded: ${setting.name}`)
  }
  const runs: Run[] = []
  const times = new Map<string, DeviceTimes>()
  const random = new BlastRandom(ROUNDS)
  for (let round = 0; round <= ROUNDS; round++) {
    for (const streams of STREAMS) {
      for (const engine of random.shuffled(engines)) {
        runs.push(await measure(engine, streams, round))
        if (round > 0) collect(times, `${engine.name}, ${streams}`, engine.records)
      }
    }
    console.log(`round ${round} of ${ROUNDS}`)
  }
  report(engines, runs, times)
  for (const { llm } of engines) await llm.dispose()
}

async function open(setting: Setting): Promise<Engine> {
  const records: StepRecord[] = []
  const { speculative } = setting
  const llm = await load(FAIRY_TALES, {
    maxNumBatchedTokens: 96,
    maxNumSeqs: 16,
    maxModelLen: 256,
    kvCacheTokens: 4096,
    enablePrefixCaching: false,
    ...(speculative && { speculative }),
    onStep: (record) => records.push(record),
  })
  return { ...setting, llm, records }
}

async function measure({ llm, name, wanted, records }: Engine, streams: number, round: number): Promise<Run> {
  records.length = 0
  const start = performance.now()
  const sampling = { temperature: TEMPERATURE, top_k: 50, top_p: 0.95, ignore_eos: true }
  const limit = wanted === undefined ? {} : { num_speculative_tokens: wanted }
  const fields = { max_tokens: TOKENS(streams), ...sampling, ...limit }
  const prompts = OPENINGS.slice(0, streams)
  await Promise.all(
    prompts.map((prompt, index) => llm.generate(prompt, { ...fields, seed: round * 16 + index }).result()),
  )
  const seconds = (performance.now() - start) / 1000
  const sum = (of: (record: StepRecord) => number): number => records.reduce((total, each) => total + of(each), 0)
  const tokens = sum(({ committedTokens }) => committedTokens)
  const decoding = records.filter(({ prefillRows }) => prefillRows === 0)
  const usual = (phase: keyof StepTimes): number => median(decoding.map(({ ms }) => ms[phase] ?? Number.NaN))
  return {
    setting: name,
    streams,
    round,
    tokensPerSecond: tokens / seconds,
    rowsPerStep: sum(({ baseRows, draftRows, prefillRows }) => baseRows + draftRows + prefillRows) / records.length,
    tokensPerStep: tokens / records.length,
    acceptance: sum(({ acceptedDrafts }) => acceptedDrafts) / sum(({ draftRows }) => draftRows),
    ms: {
      schedule: usual('schedule'),
      encode: usual('encode'),
      wait: usual('wait'),
      gpu: usual('gpu'),
      update: usual('update'),
    },
  }
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

function report(engines: readonly Engine[], runs: readonly Run[], times: ReadonlyMap<string, DeviceTimes>): void {
  const [first] = engines
  if (!first) return
  const { adapter, options } = first.llm
  console.log(`\nSpeculation, fairy-tales on ${adapter.description || adapter.architecture}`)
  console.log(`B = ${options.maxNumBatchedTokens}, temperature ${TEMPERATURE}, top-k 50, top-p 0.95, ${ROUNDS} rounds`)
  const table = STREAMS.flatMap((streams) => SETTINGS.map(({ name }) => summary(runs, streams, name)))
  printTable(
    [
      'setting',
      'streams',
      'tokens/s',
      'to off',
      'to 0 drafts',
      `to ${READY.name}`,
      'first round',
      'rows/step',
      'tokens/step',
      'accepted',
    ],
    table.map((each) => [
      each.setting,
      `${each.streams}`,
      each.tokensPerSecond.toFixed(1),
      shown(each.toOff),
      shown(each.toNone),
      shown(each.toReady),
      each.firstToNone.toFixed(2),
      each.rowsPerStep.toFixed(1),
      each.tokensPerStep.toFixed(2),
      Number.isNaN(each.acceptance) ? '-' : `${(100 * each.acceptance).toFixed(0)} %`,
    ]),
  )
  const best = STREAMS.map((streams) => bestFixed(runs, streams))
  printTable(
    ['adaptive to the best fixed number', 'streams', 'ratio'],
    best.map(({ streams, name, toBest }) => [name, `${streams}`, shown(toBest)]),
  )
  const verify = verifyCost(times)
  console.log(`time of 1 + k rows to that of 1 row, k = 1…${MOST}: ${verify.map((each) => each.toFixed(2)).join(', ')}`)
  const drafting = SETTINGS.map(({ name }) => ({ name, ms: STREAMS.map((streams) => draftTime(times, name, streams)) }))
  printTable(
    ['drafter, ms per step', ...STREAMS.map((streams) => `${streams} streams`)],
    drafting
      .filter(({ ms }) => ms.some((each) => each > 0))
      .map(({ name, ms }) => [name, ...ms.map((each) => each.toFixed(2))]),
  )
  writeFigure('speculation.json', `${JSON.stringify({ adapter, table, best, verify, drafting, runs }, null, 1)}\n`)
}

function runsOf(runs: readonly Run[], streams: number, setting: string): readonly Run[] {
  return runs.filter((each) => each.streams === streams && each.setting === setting)
}

/** Of runs of the same round. */
function speedRatio(these: readonly Run[], others: readonly Run[]): Ratio {
  const counted = these.filter(({ round }) => round > 0)
  return ratio(
    counted.map(({ round, tokensPerSecond }) => {
      return tokensPerSecond / (others.find((other) => other.round === round)?.tokensPerSecond ?? Number.NaN)
    }),
  )
}

function summary(runs: readonly Run[], streams: number, setting: string) {
  const these = runsOf(runs, streams, setting)
  const none = runsOf(runs, streams, '0 drafts')
  const counted = these.filter(({ round }) => round > 0)
  return {
    setting,
    streams,
    tokensPerSecond: median(counted.map((each) => each.tokensPerSecond)),
    toNone: speedRatio(these, none),
    toOff: speedRatio(these, runsOf(runs, streams, 'off')),
    toReady: speedRatio(these, runsOf(runs, streams, READY.name)),
    firstToNone: (these[0]?.tokensPerSecond ?? Number.NaN) / (none[0]?.tokensPerSecond ?? Number.NaN),
    rowsPerStep: median(counted.map((each) => each.rowsPerStep)),
    tokensPerStep: median(counted.map((each) => each.tokensPerStep)),
    acceptance: median(counted.map((each) => each.acceptance)),
  }
}

/** The adaptive engine against the fixed number of drafts with the highest median. */
function bestFixed(runs: readonly Run[], streams: number) {
  const speed = (name: string): number => summary(runs, streams, name).tokensPerSecond
  const fixed = FIXED.filter((each) => SETTINGS.includes(each))
  const { name } = fixed.reduce((best, each) => (speed(each.name) > speed(best.name) ? each : best), FIXED[0] ?? READY)
  return { streams, name, toBest: speedRatio(runsOf(runs, streams, 'adaptive'), runsOf(runs, streams, name)) }
}

/** Of one stream: the device's time of a step of 1 + k rows to that of one row; [k - 1]. NaN without timestamps. */
function verifyCost(times: ReadonlyMap<string, DeviceTimes>): number[] {
  const all = (draftRows: number): number =>
    median(SETTINGS.flatMap(({ name }) => times.get(`${name}, 1`)?.verify.get(draftRows) ?? []))
  return Array.from({ length: MOST }, (_, k) => all(k + 1) / all(0))
}

function draftTime(times: ReadonlyMap<string, DeviceTimes>, name: string, streams: number): number {
  return median(times.get(`${name}, ${streams}`)?.draft ?? [])
}

function shown({ mean, low, high }: Ratio): string {
  if (Number.isNaN(mean)) return '-'
  return `${mean.toFixed(3)} (${low.toFixed(3)}…${high.toFixed(3)})`
}
