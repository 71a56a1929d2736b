import { expect, it } from 'vitest'
import { type BatchingResult, compareBatching, verdict, type Way } from '../../src/demo/batching.ts'
import { OPENINGS } from '../../src/demo/openings.ts'
import { connect, errorOf, WAYS } from '../helpers/connect.ts'
import { endless, MockLoader } from '../helpers/scriptedModel.ts'

const TASKS = OPENINGS.map((prompt, index) => ({ prompt, fields: { max_tokens: 6, seed: index } }))

function engine(loader = new MockLoader()) {
  const [, inProcess] = WAYS[0] ?? []
  if (!inProcess) throw new Error('no way to connect in this process')
  return connect(inProcess(loader), { maxNumSeqs: 16 })
}

it('both ways answer every prompt, and each token is heard of once', async () => {
  const llm = await engine()
  const heard: Record<Way, number[]> = { 'at once': [], 'one after another': [] }
  const result = await compareBatching(llm, TASKS, new AbortController().signal, (way, tokens) =>
    heard[way].push(tokens),
  )
  expect(result).toMatchObject({ prompts: 16, atOnce: { tokens: 96 }, oneByOne: { tokens: 96 } })
  for (const tokens of Object.values(heard)) {
    expect(tokens.at(-1)).toBe(96)
    expect(tokens).toEqual([...tokens].sort((a, b) => a - b))
  }
  await llm.dispose()
})

it('answers that depend on what runs beside them are counted as different', async () => {
  // The script of this runner goes by the request's number, which is not the same both ways.
  const llm = await engine(new MockLoader(endless))
  const { different } = await compareBatching(llm, TASKS, new AbortController().signal)
  expect(different).toBe(16)
  await llm.dispose()
})

it('a comparison that is cancelled ends with ABORTED, and so does one that was cancelled before', async () => {
  const llm = await engine()
  const cancelled = new AbortController()
  const comparing = compareBatching(llm, TASKS, cancelled.signal, () => cancelled.abort())
  expect((await errorOf(comparing)).code).toBe('ABORTED')
  expect((await errorOf(compareBatching(llm, TASKS, cancelled.signal))).code).toBe('ABORTED')
  await llm.dispose()
})

it('the verdict is taken from the numbers', () => {
  const result: BatchingResult = {
    prompts: 16,
    atOnce: { ms: 2000, tokens: 192 },
    oneByOne: { ms: 5000, tokens: 192 },
    different: 0,
  }
  expect(verdict(result, 16)).toMatch(/^At once is 2\.5 times as fast: .* All 16 texts are identical, token for token/)
  expect(verdict({ ...result, oneByOne: { ms: 1000, tokens: 192 } }, 16)).toMatch(/^At once takes 2\.0 times as long\./)
  expect(verdict(result, 4)).toContain('Only 4 run at once')
  expect(verdict({ ...result, different: 3 }, 16)).toContain('3 of 16 texts differ')
})
