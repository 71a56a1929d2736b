/**
 * What speculation brings: tokens per second of 1, 4 and 16 streams without it, with 0 to 4 drafts of the model's own drafter,
 * with n-grams, and with the number of drafts chosen. Every round runs each setting once, so that a machine whose speed drifts
 * slows all of them alike: ratios are of the same round, with the 95 % interval of their mean.
 *
 * WEIR_BENCH_ROUNDS: rounds, 20 by default. WEIR_BENCH_STREAMS: numbers of streams, "1,4,16" by default.
 */

import { OPENINGS } from '../../src/demo/openings.ts'
import type { LLM, SpeculativeLoadOptions, StepRecord } from '../../src/index.ts'
import { FAIRY_TALES, load } from './engines.ts'
import { interval, median, printTable, writeFigure } from './figures.ts'

const { WEIR_BENCH_ROUNDS = '20', WEIR_BENCH_STREAMS = '1,4,16' } = process.env
const ROUNDS = Number(WEIR_BENCH_ROUNDS)
const STREAMS = WEIR_BENCH_STREAMS.split(',').map(Number)
const TOKENS = 32
const MOST = 4

interface Setting {
  readonly name: string
  readonly speculative: SpeculativeLoadOptions | undefined
}

const FIXED: readonly Setting[] = Array.from({ length: MOST + 1 }, (_, drafts) => ({
  name: `${drafts} drafts`,
  speculative: { method: 'mtp', numSpeculativeTokens: drafts, adaptive: false },
}))

const SETTINGS: readonly Setting[] = [
  { name: 'off', speculative: undefined },
  ...FIXED,
  { name: 'adaptive', speculative: { method: 'mtp', numSpeculativeTokens: MOST } },
  { name: 'n-gram', speculative: { method: 'ngram', numSpeculativeTokens: MOST, adaptive: false } },
  { name: 'n-gram, adaptive', speculative: { method: 'ngram', numSpeculativeTokens: MOST } },
]

interface Engine extends Setting {
  readonly llm: LLM
  readonly records: StepRecord[]
}

interface Run {
  readonly setting: string
  readonly streams: number
  readonly round: number
  readonly tokensPerSecond: number
  readonly rowsPerStep: number
  readonly tokensPerStep: number
  /** accepted of verified drafts; NaN without drafts */
  readonly acceptance: number
}

export async function run(): Promise<void> {
  const engines: Engine[] = []
  for (const setting of SETTINGS) {
    engines.push(await open(setting))
    console.log(`loaded: ${setting.name}`)
  }
  const runs: Run[] = []
  const alone: StepRecord[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const streams of STREAMS) {
      for (const engine of engines) {
        runs.push(await measure(engine, streams, round))
        if (streams === 1 && engine.name === 'n-gram') alone.push(...engine.records)
      }
    }
  }
  const [first] = engines
  if (!first) return
  const { adapter, options } = first.llm
  console.log(`\nSpeculation, fairy-tales on ${adapter.description || adapter.architecture}`)
  console.log(`B = ${options.maxNumBatchedTokens}, ${TOKENS} tokens per stream, temperature 0.8, ${ROUNDS} rounds`)
  const table = STREAMS.flatMap((streams) => SETTINGS.map(({ name }) => summary(runs, streams, name)))
  printTable(
    ['setting', 'streams', 'tokens/s', 'to 0 drafts', 'to off', 'rows/step', 'tokens/step', 'accepted'],
    table.map((each) => [
      each.setting,
      `${each.streams}`,
      each.tokensPerSecond.toFixed(1),
      shown(each.toNone),
      shown(each.toOff),
      each.rowsPerStep.toFixed(1),
      each.tokensPerStep.toFixed(2),
      Number.isNaN(each.acceptance) ? '-' : `${(100 * each.acceptance).toFixed(0)} %`,
    ]),
  )
  const verify = verifyCost(alone)
  console.log(`time of a step of 1 + k rows to one of 1 row: ${verify.map((ratio) => ratio.toFixed(2)).join(', ')}`)
  writeFigure('speculation.json', `${JSON.stringify({ adapter, table, verify, runs }, null, 1)}\n`)
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
  // The first steps of an engine compile what a driver left for later.
  await llm.generate('Once', { max_tokens: 8, ignore_eos: true }).result()
  return { ...setting, llm, records }
}

async function measure({ llm, name, records }: Engine, streams: number, round: number): Promise<Run> {
  records.length = 0
  const start = performance.now()
  const fields = { max_tokens: TOKENS, temperature: 0.8, top_k: 50, top_p: 0.95, ignore_eos: true }
  const prompts = OPENINGS.slice(0, streams)
  await Promise.all(
    prompts.map((prompt, index) => llm.generate(prompt, { ...fields, seed: round * 16 + index }).result()),
  )
  const seconds = (performance.now() - start) / 1000
  const sum = (of: (record: StepRecord) => number): number => records.reduce((total, each) => total + of(each), 0)
  const tokens = sum(({ committedTokens }) => committedTokens)
  return {
    setting: name,
    streams,
    round,
    tokensPerSecond: tokens / seconds,
    rowsPerStep: sum(({ baseRows, draftRows, prefillRows }) => baseRows + draftRows + prefillRows) / records.length,
    tokensPerStep: tokens / records.length,
    acceptance: sum(({ acceptedDrafts }) => acceptedDrafts) / sum(({ draftRows }) => draftRows),
  }
}

interface Ratio {
  readonly mean: number
  /** half of the 95 % interval */
  readonly half: number
}

function summary(runs: readonly Run[], streams: number, setting: string) {
  const of = (name: string) => runs.filter((each) => each.streams === streams && each.setting === name)
  const these = of(setting)
  const ratioTo = (name: string): Ratio => {
    const others = of(name)
    return interval(these.map((each, i) => each.tokensPerSecond / (others[i]?.tokensPerSecond ?? Number.NaN)))
  }
  return {
    setting,
    streams,
    tokensPerSecond: median(these.map((each) => each.tokensPerSecond)),
    toNone: ratioTo('0 drafts'),
    toOff: ratioTo('off'),
    rowsPerStep: median(these.map((each) => each.rowsPerStep)),
    tokensPerStep: median(these.map((each) => each.tokensPerStep)),
    acceptance: median(these.map((each) => each.acceptance)),
  }
}

/** Steps of one decoding stream whose drafts took no draft pass: [k] time of 1 + k rows to that of one. */
function verifyCost(records: readonly StepRecord[]): number[] {
  const time = (draftRows: number): number =>
    median(
      records
        .filter((each) => each.baseRows === 1 && each.prefillRows === 0 && each.draftRows === draftRows)
        .map(({ ms }) => ms.encode + ms.wait),
    )
  return Array.from({ length: MOST }, (_, k) => time(k + 1) / time(0))
}

function shown({ mean, half }: Ratio): string {
  return `${mean.toFixed(2)} ± ${half.toFixed(2)}`
}
