/**
 * The fixed workload that tells the budget policies apart, its runner and what a run shows, in words computed from it:
 * one short story decodes while three long prompts want every row there is. It never knows a document, so that the
 * page and a headless bench run the same thing.
 */

import type { RefusedStep } from '../chart/stepText.ts'
import {
  type BudgetPolicy,
  type EngineOptions,
  type LoadOptions,
  type Prompt,
  type SamplingFields,
  type StepRecord,
  WeirError,
} from '../index.ts'
import { refusedStep } from './refusal.ts'

/** What the runner needs of an engine; an `LLM` is one. */
export interface ComparisonEngine {
  readonly options: EngineOptions
  generate(prompt: Prompt, params?: SamplingFields): { result(): Promise<unknown> }
  dispose(): Promise<void>
}

/** What loads engines; the class `LLM` is one. */
export interface ComparisonLoader {
  load(modelUrl: string, options: LoadOptions): Promise<ComparisonEngine>
}

export interface PolicyCase {
  readonly policy: BudgetPolicy
  readonly maxNumBatchedTokens: number
}

export interface Refusal extends RefusedStep {
  readonly code: string
  readonly message: string
}

export interface PolicyRun extends PolicyCase {
  /** B */
  readonly limit: number
  readonly maxNumSeqs: number
  readonly drafts: number
  /** tokens of each long prompt: 600, or what the model's positions leave */
  readonly promptTokens: number
  readonly records: readonly StepRecord[]
  /** why it ended early: more rows than the buffers hold */
  readonly refused?: Refusal
}

/** The three policies at 576 rows, the fewest at which the PR's reserve decides and not its floor of 512; and below it. */
export const POLICY_CASES: readonly PolicyCase[] = [
  { policy: 'exact', maxNumBatchedTokens: 576 },
  { policy: 'reserve', maxNumBatchedTokens: 576 },
  { policy: 'uncharged', maxNumBatchedTokens: 576 },
  { policy: 'reserve', maxNumBatchedTokens: 256 },
]

export const WORKLOAD = {
  maxNumSeqs: 16,
  drafts: 3,
  prompts: 3,
  promptTokens: 600,
  /** the story decodes for longer than the prompts take to compute */
  storyPromptTokens: 8,
  storyTokens: 20,
  answerTokens: 4,
  kvCacheTokens: 4096,
} as const

/** Token ids of the prompts lie in [3, 512): a model needs no tokenizer, and no special token is among them. */
const FIRST_ID = 3
const LAST_ID = 511

/**
 * Loads an engine per case, one after another, and runs the workload on it. `onRun` sees each run as it ends.
 * @throws what `load` throws, and any error of a request but BUDGET_EXCEEDED, which is the point of the comparison
 */
export async function comparePolicies(
  loader: ComparisonLoader,
  modelUrl: string,
  onRun: (run: PolicyRun, index: number) => void = () => {},
): Promise<PolicyRun[]> {
  const runs: PolicyRun[] = []
  for (const policyCase of POLICY_CASES) {
    const run = await runCase(loader, modelUrl, policyCase)
    onRun(run, runs.length)
    runs.push(run)
  }
  return runs
}

async function runCase(loader: ComparisonLoader, modelUrl: string, policyCase: PolicyCase): Promise<PolicyRun> {
  const { policy, maxNumBatchedTokens: limit } = policyCase
  const { maxNumSeqs, drafts, kvCacheTokens } = WORKLOAD
  const records: StepRecord[] = []
  const engine = await loader.load(modelUrl, {
    maxNumBatchedTokens: limit,
    maxNumSeqs,
    kvCacheTokens,
    speculative: { method: 'mtp', numSpeculativeTokens: drafts, adaptive: false },
    budgetPolicy: policy,
    onStep: (record) => records.push(record),
  })
  try {
    const promptTokens = Math.min(WORKLOAD.promptTokens, engine.options.maxModelLen - WORKLOAD.answerTokens)
    const ends = await Promise.allSettled(submitWorkload(engine, promptTokens))
    const errors = ends.flatMap((end) => (end.status === 'rejected' ? [WeirError.from(end.reason)] : []))
    const refusal = errors.find((error) => error.code === 'BUDGET_EXCEEDED')
    const other = errors.find((error) => error.code !== 'BUDGET_EXCEEDED')
    if (other && !refusal) throw other
    const run = { policy, maxNumBatchedTokens: limit, limit, maxNumSeqs, drafts, promptTokens, records }
    if (!refusal) return run
    const { code, message } = refusal
    return { ...run, refused: { code, message, ...refusedStep(refusal, records) } }
  } finally {
    await engine.dispose()
  }
}

/**
 * All four at once, the story first: it decodes from the second step on, beside the first long prompt. Whether the prompts are
 * there for the first step already is a matter of microseconds, and changes nothing that the comparison says.
 */
function submitWorkload(engine: ComparisonEngine, promptTokens: number): Promise<unknown>[] {
  const fields = { temperature: 0, ignore_eos: true }
  const story = { prompt_token_ids: tokenIds(WORKLOAD.storyPromptTokens, 1) }
  const prompts = Array.from({ length: WORKLOAD.prompts }, (_, index) => tokenIds(promptTokens, index + 2))
  return [
    engine.generate(story, { ...fields, max_tokens: WORKLOAD.storyTokens }).result(),
    ...prompts.map((prompt_token_ids) =>
      engine.generate({ prompt_token_ids }, { ...fields, max_tokens: WORKLOAD.answerTokens }).result(),
    ),
  ]
}

/** Fixed ids that look like text's: no short period. Linear congruential, Numerical Recipes' constants. */
function tokenIds(length: number, seed: number): number[] {
  let state = seed >>> 0
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return FIRST_ID + ((state >>> 8) % (LAST_ID - FIRST_ID + 1))
  })
}

/** Rows of the steps that a waiting prompt could have filled: every request is known and more prompt rows come after. */
export function fullSteps(run: PolicyRun): readonly number[] {
  const { records } = run
  const known = records.findIndex((record) => record.running + record.waiting > WORKLOAD.prompts)
  const lastPrefill = records.findLastIndex((record) => record.prefillRows > 0)
  return records
    .slice(Math.max(0, known), Math.max(0, lastPrefill))
    .map((record) => record.baseRows + record.draftRows + record.prefillRows)
}

/** One caption per run, from its numbers. */
export function captions(runs: readonly PolicyRun[]): string[] {
  return runs.map((run) => caption(run, runs))
}

function caption(run: PolicyRun, runs: readonly PolicyRun[]): string {
  if (run.refused) return refusalCaption(run, run.refused, runs)
  const unused = fullSteps(run).map((rows) => run.limit - rows)
  const prefill = run.records.filter((record) => record.prefillRows > 0)
  const tokens = prefill.reduce((sum, record) => sum + record.prefillRows, 0)
  const most = Math.max(0, ...run.records.map((record) => record.baseRows + record.draftRows + record.prefillRows))
  const work = `${tokens} prompt tokens in ${prefill.length} steps, at most ${most} of ${run.limit} rows`
  if (unused.length === 0) return `No full step: ${work}.`
  const [least, largest] = [Math.min(...unused), Math.max(...unused)]
  const steps = unused.length === 1 ? 'its one full step' : `each of ${unused.length} full steps`
  if (largest <= 0) return `Fills the line in ${steps}: ${work}.`
  const range = least === largest ? `${least}` : `${least} to ${largest}`
  return `Leaves ${range} rows unused in ${steps}: ${work}.`
}

function refusalCaption(run: PolicyRun, refused: Refusal, runs: readonly PolicyRun[]): string {
  const over = refused.rows - refused.limit
  const rows = `${over} ${over === 1 ? 'row' : 'rows'}`
  const stopped = `Stopped in step ${refused.step}: ${refused.rows} rows, ${rows} more than the buffers hold (${refused.code}).`
  const twin = runs.find((other) => other.policy === 'uncharged')?.refused
  if (run.policy !== 'reserve' || twin?.step !== refused.step || twin.rows - twin.limit !== over) return stopped
  return `${stopped} Exactly like uncharged: nothing was held in reserve.`
}
