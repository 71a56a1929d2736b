/**
 * Tokens per second of 1, 4 and 16 streams at 0 to 4 drafts. Every round runs each setting once, so that a machine whose speed
 * drifts slows all of them alike; medians and ratios to 0 drafts of the same round are what to quote.
 */

import { OPENINGS } from '../../src/demo/openings.ts'
import type { EngineStats, LLM, StepRecord } from '../../src/index.ts'
import { FAIRY_TALES, load } from './engines.ts'
import { median, printTable, writeFigure } from './figures.ts'

const DRAFTS = [0, 1, 2, 3, 4]
const STREAMS = [1, 4, 16]
const ROUNDS = 5
const TOKENS = 32

interface Run {
  readonly drafts: number
  readonly streams: number
  readonly tokensPerSecond: number
  readonly rowsPerStep: number
  /** accepted of verified drafts */
  readonly acceptance: number
  readonly tokensPerStep: number
}

export async function run(): Promise<void> {
  const engines = await openEngines()
  const runs: Run[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const streams of STREAMS) {
      for (const engine of engines) runs.push(await measure(engine, streams, round))
    }
  }
  const [first] = engines
  if (!first) return
  const { adapter, memory, options } = first.llm
  const stats = await first.llm.stats()
  console.log(
    `\nStreams, fairy-tales on ${adapter.description || adapter.architecture}, B = ${options.maxNumBatchedTokens}`,
  )
  console.log(`kernels: ${JSON.stringify(stats.kernels)}`)
  console.log(`bytes at 0 drafts: ${memory.totalBytes} planned, ${stats.allocatedBytes} allocated`)
  const table = STREAMS.flatMap((streams) => DRAFTS.map((drafts) => summary(runs, streams, drafts)))
  printTable(
    ['streams', 'drafts', 'tokens/s', 'ratio to 0 drafts', 'rows/step', 'tokens/step', 'acceptance'],
    table.map((each) => [
      `${each.streams}`,
      `${each.drafts}`,
      each.tokensPerSecond.toFixed(1),
      each.ratio.toFixed(2),
      each.rowsPerStep.toFixed(1),
      each.tokensPerStep.toFixed(2),
      each.drafts > 0 ? `${(100 * each.acceptance).toFixed(0)} %` : '-',
    ]),
  )
  writeFigure('streams.json', `${JSON.stringify({ adapter, kernels: stats.kernels, table, runs }, null, 1)}\n`)
  for (const { llm } of engines) await llm.dispose()
}

interface BenchEngine {
  readonly drafts: number
  readonly llm: LLM
  readonly records: StepRecord[]
}

async function openEngines(): Promise<BenchEngine[]> {
  const engines: BenchEngine[] = []
  for (const drafts of DRAFTS) {
    const records: StepRecord[] = []
    const llm = await load(FAIRY_TALES, {
      maxNumBatchedTokens: 96,
      maxNumSeqs: 16,
      maxModelLen: 256,
      kvCacheTokens: 4096,
      speculative: { method: 'mtp', numSpeculativeTokens: drafts, adaptive: false },
      onStep: (record) => records.push(record),
    })
    // The first steps of an engine compile what a driver left for later.
    await llm.generate('Once', { max_tokens: 8, ignore_eos: true }).result()
    engines.push({ drafts, llm, records })
  }
  return engines
}

async function measure({ llm, drafts, records }: BenchEngine, streams: number, round: number): Promise<Run> {
  const before: EngineStats = await llm.stats()
  records.length = 0
  const start = performance.now()
  const prompts = OPENINGS.slice(0, streams)
  const fields = { max_tokens: TOKENS, temperature: 0.8, top_k: 50, top_p: 0.95, ignore_eos: true }
  await Promise.all(
    prompts.map((prompt, index) => llm.generate(prompt, { ...fields, seed: round * 16 + index }).result()),
  )
  const seconds = (performance.now() - start) / 1000
  const after = await llm.stats()
  const rows = records.reduce((sum, each) => sum + each.baseRows + each.draftRows + each.prefillRows, 0)
  const tokens = after.committedTokens - before.committedTokens
  const verified = records.reduce((sum, each) => sum + each.draftRows, 0)
  const accepted = records.reduce((sum, each) => sum + each.acceptedDrafts, 0)
  return {
    drafts,
    streams,
    tokensPerSecond: tokens / seconds,
    rowsPerStep: rows / records.length,
    acceptance: verified > 0 ? accepted / verified : 0,
    tokensPerStep: tokens / records.length,
  }
}

function summary(runs: readonly Run[], streams: number, drafts: number): Run & { readonly ratio: number } {
  const these = runs.filter((each) => each.streams === streams && each.drafts === drafts)
  const plain = runs.filter((each) => each.streams === streams && each.drafts === 0)
  return {
    drafts,
    streams,
    ratio: median(these.map((each, round) => each.tokensPerSecond / (plain[round]?.tokensPerSecond ?? Number.NaN))),
    tokensPerSecond: median(these.map((each) => each.tokensPerSecond)),
    rowsPerStep: median(these.map((each) => each.rowsPerStep)),
    acceptance: median(these.map((each) => each.acceptance)),
    tokensPerStep: median(these.map((each) => each.tokensPerStep)),
  }
}
