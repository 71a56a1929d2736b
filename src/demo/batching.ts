/**
 * The same prompts answered at once and one after another by the same engine: times, and whether the answers are the same. It
 * never knows a document.
 */

import type { GenerateOptions, Generation } from '../index.ts'

/** What the comparison needs of an engine; an `LLM` is one. */
export interface BatchingEngine {
  generate(prompt: string, options: GenerateOptions): Generation
  resetPrefixCache(): Promise<void>
}

export interface BatchingTask {
  readonly prompt: string
  readonly fields: GenerateOptions
}

export type Way = 'at once' | 'one after another'

export interface Timing {
  readonly ms: number
  readonly tokens: number
}

export interface BatchingResult {
  readonly prompts: number
  readonly atOnce: Timing
  readonly oneByOne: Timing
  /** prompts whose token ids are not the same both ways */
  readonly different: number
}

interface Answers extends Timing {
  /** token ids of each prompt's answer */
  readonly ids: readonly (readonly number[])[]
}

/**
 * Runs the tasks both ways. Neither way finds cached prefixes of prompts.
 * @param onTokens hears of the tokens of a way so far
 * @throws ABORTED as soon as `signal` says so, and what any request ends with
 */
export async function compareBatching(
  engine: BatchingEngine,
  tasks: readonly BatchingTask[],
  signal: AbortSignal,
  onTokens: (way: Way, tokens: number) => void = () => {},
): Promise<BatchingResult> {
  const answer = async (
    way: Way,
    start: (answerOne: (task: BatchingTask) => Promise<number[]>) => Promise<number[][]>,
  ) => {
    await engine.resetPrefixCache()
    let tokens = 0
    const from = performance.now()
    const ids = await start((task) =>
      answerTask(engine, task, signal, (count) => {
        tokens += count
        onTokens(way, tokens)
      }),
    )
    return { ms: performance.now() - from, tokens, ids } satisfies Answers
  }
  const atOnce = await answer('at once', (answerOne) => Promise.all(tasks.map(answerOne)))
  const oneByOne = await answer('one after another', async (answerOne) => {
    const ids: number[][] = []
    for (const task of tasks) ids.push(await answerOne(task))
    return ids
  })
  const different = tasks.filter((_, index) => `${atOnce.ids[index]}` !== `${oneByOne.ids[index]}`).length
  return { prompts: tasks.length, atOnce: timing(atOnce), oneByOne: timing(oneByOne), different }
}

async function answerTask(
  engine: BatchingEngine,
  { prompt, fields }: BatchingTask,
  signal: AbortSignal,
  onTokens: (count: number) => void,
): Promise<number[]> {
  const ids: number[] = []
  for await (const part of engine.generate(prompt, { ...fields, signal })) {
    ids.push(...part.token_ids)
    onTokens(part.token_ids.length)
  }
  return ids
}

function timing({ ms, tokens }: Timing): Timing {
  return { ms, tokens }
}

export function timingText({ ms, tokens }: Timing): string {
  return `${(ms / 1000).toFixed(1)} s, ${Math.round((tokens / ms) * 1000)} tokens per second`
}

/** What the comparison found. @param atMost requests that the engine runs at once, S */
export function verdict({ prompts, atOnce, oneByOne, different }: BatchingResult, atMost: number): string {
  const ratio = oneByOne.ms / atOnce.ms
  const speed =
    ratio >= 1
      ? `At once is ${ratio.toFixed(1)} times as fast`
      : `At once takes ${(1 / ratio).toFixed(1)} times as long`
  const why = ratio >= 1.05 ? ': one step for all takes far less time than one step for each' : ''
  const few = atMost < prompts ? ` Only ${atMost} run at once, by the setting S.` : ''
  const same =
    different === 0
      ? `All ${prompts} texts are identical, token for token: a story does not depend on what is computed beside it.`
      : `${different} of ${prompts} texts differ: on this device a story depends on what is computed beside it.`
  return `${speed}${why}.${few} ${same}`
}
