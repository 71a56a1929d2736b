/**
 * What quantising the embedded model at load does to its answers, on the processor: at every token of the golden answers the
 * Kullback-Leibler divergence of the next token's distribution from that of the unquantised model, how often the likeliest token is the
 * same, and how many drafts are accepted.
 */

import { readFileSync } from 'node:fs'
import type { BackendRunner, OpenBackend } from '../../src/backend/backend.ts'
import { GREEDY } from '../../src/core/samplingParams.ts'
import { EngineCore } from '../../src/engine/engineCore.ts'
import type { EngineRequestEnd } from '../../src/engine/engineTypes.ts'
import type { EngineOptions, Quantization } from '../../src/protocol/engineOptions.ts'
import { engineOptions } from '../helpers/coreFixtures.ts'
import type { Golden } from '../helpers/golden.ts'
import { LAZY_MODULES } from '../helpers/lazyModules.ts'
import { openTestModel } from '../helpers/openTestModel.ts'
import { median, printTable, writeFigure } from './figures.ts'

const QUANTISED: readonly Quantization[] = ['int8', 'int4', 'w8a8']
const DRAFTS = [1, 2, 3]
/** Tokens of each answer while drafts are counted. */
const ANSWER = 64

export async function run(): Promise<void> {
  const { cases }: Golden = JSON.parse(readFileSync('test/golden/fairy-tales.json', 'utf8'))
  const texts = cases.map(({ prompt_ids, kv_exact }) => [...prompt_ids, ...kv_exact.greedy_ids])
  const prefixes = texts.flatMap((ids, index) => {
    const first = cases[index]?.prompt_ids.length ?? 0
    return ids.slice(first).map((_, i) => ids.slice(0, first + i))
  })
  const open = await (await LAZY_MODULES.wasm()).open({})
  const exact = await logitsOf(open, 'none', prefixes)
  const rows: string[][] = [['none', '0', '100.0 %', ...(await acceptances(open, 'none', cases))]]
  for (const quantization of QUANTISED) {
    const logits = await logitsOf(open, quantization, prefixes)
    const divergences = logits.map((row, index) => divergence(exact[index] as Float32Array, row))
    const mean = divergences.reduce((sum, each) => sum + each, 0) / divergences.length
    const same = logits.filter((row, index) => likeliest(row) === likeliest(exact[index] as Float32Array)).length
    rows.push([
      quantization,
      `${mean.toExponential(1)} (${median(divergences).toExponential(1)})`,
      `${((100 * same) / logits.length).toFixed(1)} %`,
      ...(await acceptances(open, quantization, cases)),
    ])
  }
  console.log(`fairy-tales, ${prefixes.length} positions`)
  printTable(['', 'KL mean (median)', 'likeliest equal', ...DRAFTS.map((k) => `accepted of ${k}`)], rows)
  writeFigure('quality.json', `${JSON.stringify(rows, null, 1)}\n`)
}

/** Logits after each prefix. */
async function logitsOf(
  open: OpenBackend,
  quantization: Quantization,
  prefixes: readonly (readonly number[])[],
): Promise<Float32Array[]> {
  const debug = { logits: 'full', steps: false, trace: false } as const
  return withCore(open, quantization, { debug, speculative: undefined }, async (core, ends) => {
    prefixes.forEach((ids, id) => {
      add(core, id, ids, 1, true)
    })
    while (core.hasWork()) await core.step()
    return prefixes.map((_, id) => ends.get(id)?.debug?.logits[0] as Float32Array)
  })
}

/** Accepted drafts of all verified, at each number of drafts. */
async function acceptances(open: OpenBackend, quantization: Quantization, cases: Golden['cases']): Promise<string[]> {
  const shares: string[] = []
  for (const numSpeculativeTokens of DRAFTS) {
    const speculative = { method: 'mtp', adaptive: false, numSpeculativeTokens, draftVocabSize: undefined } as const
    const debug = { logits: 'off', steps: true, trace: false } as const
    const share = await withCore(open, quantization, { debug, speculative }, async (core, ends) => {
      cases.forEach(({ prompt_ids }, id) => {
        add(core, id, prompt_ids, ANSWER, false)
      })
      while (core.hasWork()) await core.step()
      const steps = [...ends.values()].flatMap((end) => end.debug?.steps ?? [])
      const verified = steps.reduce((sum, step) => sum + step.verified.length, 0)
      return steps.reduce((sum, step) => sum + step.accepted, 0) / verified
    })
    shares.push(`${(100 * share).toFixed(1)} %`)
  }
  return shares
}

async function withCore<T>(
  open: OpenBackend,
  quantization: Quantization,
  changes: Partial<EngineOptions>,
  use: (core: EngineCore, ends: ReadonlyMap<number, EngineRequestEnd>) => Promise<T>,
): Promise<T> {
  const { spec, weights } = await openTestModel('fairy-tales', quantization)
  const sizes = { maxNumBatchedTokens: 256, maxNumSeqs: 16, maxModelLen: 1024, kvCacheTokens: 8192 }
  const options: EngineOptions = { ...engineOptions({ ...sizes, ...changes }), kvCacheDtype: 'f32' }
  const now = () => performance.now()
  const runner: BackendRunner = await open.createRunner({ spec, options, weights, quantization, now })
  const ends = new Map<number, EngineRequestEnd>()
  const hooks = {
    onTokens: () => undefined,
    onFinish: (end: EngineRequestEnd) => void ends.set(end.requestId, end),
    onStep: () => undefined,
  }
  const core = new EngineCore({ options, runner, vocabSize: spec.vocabSize, now, drafting: {}, hooks })
  const answer = await use(core, ends)
  runner.dispose()
  return answer
}

function add(
  core: EngineCore,
  id: number,
  promptTokenIds: readonly number[],
  maxTokens: number,
  logits: boolean,
): void {
  core.add({
    id,
    promptTokenIds,
    maxTokens,
    sampling: GREEDY,
    stopTokenIds: [],
    eosTokenIds: [],
    ignoreEos: true,
    priority: 0,
    cacheSalt: undefined,
    debug: { logits, steps: !logits },
  })
}

function likeliest(logits: Float32Array): number {
  return logits.indexOf(Math.max(...logits))
}

/** ∑ p · ln(p / q) of the distributions, in nats. */
function divergence(p: Float32Array, q: Float32Array): number {
  const [a, b] = [logProbabilities(p), logProbabilities(q)]
  return a.reduce((sum, value, id) => sum + Math.exp(value) * (value - (b[id] ?? Number.NaN)), 0)
}

function logProbabilities(logits: Float32Array): number[] {
  const peak = Math.max(...logits)
  const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value - peak), 0)) + peak
  return Array.from(logits, (value) => value - total)
}
