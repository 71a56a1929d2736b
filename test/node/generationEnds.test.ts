/** The ends of a generation: by itself, by leaving, by its signal, by an error; what there was can be had after each. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LLM } from '../../src/api/llm.ts'
import type { WeirError } from '../../src/protocol/errors.ts'
import { connect, errorOf, WAYS, type Way } from '../helpers/connect.ts'
import { failedParts, textOf } from '../helpers/generations.ts'
import { endless, MockLoader } from '../helpers/scriptedModel.ts'

describe.each(WAYS)('the end of a generation %s', (_name, open) => {
  let loader: MockLoader
  let way: Way
  let llm: LLM

  beforeEach(async () => {
    loader = new MockLoader(endless)
    way = open(loader)
    llm = await connect(way)
  })
  afterEach(() => llm.dispose())

  /** Nothing runs, and nothing more is said of a request that ended. */
  async function expectGone(): Promise<void> {
    await expect.poll(async () => (await llm.stats()).running, { timeout: 30_000 }).toBe(0)
    expect((await llm.stats()).waiting).toBe(0)
  }

  it.each(['break', 'return', 'throw'] as const)('by %s resolves with what there was', async (how) => {
    const generation = llm.generate('A')
    const seen: number[] = []
    const read = async () => {
      for await (const { token_ids } of generation) {
        seen.push(...token_ids)
        if (seen.length < 4) continue
        if (how === 'break') break
        if (how === 'return') return
        throw new Error("the page's own")
      }
    }
    await read().catch(() => {})
    const result = await generation.result()
    expect(result).toMatchObject({ finish_reason: 'abort', choices: [{ finish_reason: 'abort' }] })
    expect(result.token_ids.slice(0, seen.length)).toEqual(seen)
    expect(result.usage.completion_tokens).toBe(result.token_ids.length)
    await expectGone()
  })

  it('by break takes the samples that had ended as they are', async () => {
    const generation = llm.generate('A', { n: 2, max_tokens: 6 })
    for await (const { finish_reason } of generation) if (finish_reason) break
    const { choices } = await generation.result()
    expect(choices).toHaveLength(2)
    expect(choices.map(({ finish_reason }) => finish_reason)).toContain('length')
    await expectGone()
  })

  it('by its signal rejects with ABORTED at once, with what there was', async () => {
    const controller = new AbortController()
    const generation = llm.generate('A', { signal: controller.signal, n: 2 })
    const heard = ['', '']
    const error = await errorOf(
      (async () => {
        for await (const { index, text, token_ids } of generation) {
          heard[index] += text
          if (index === 1 && token_ids.length > 0) controller.abort(new Error('enough'))
        }
      })(),
    )
    expect(error).toMatchObject({ code: 'ABORTED', cause: new Error('enough') })
    expect(await errorOf(generation.result())).toBe(error)
    expect(error.partial?.choices.map(({ text }) => text)).toEqual(heard)
    expectPartial(error, heard[0] ?? '')
    await expectGone()
  })

  it('by an error has what there was, and each generation its own', async () => {
    const [one, two] = [llm.generate('A'), llm.generate('B')]
    for await (const { token_ids } of one) if (token_ids.length > 0) break
    const other = llm.generate('C')
    await other[Symbol.asyncIterator]().next()
    loader.lose()
    const errors = await Promise.all([errorOf(two.result()), errorOf(other.result())])
    for (const error of errors) expect(error.code).toBe('DEVICE_LOST')
    expect(errors[0]?.partial?.text).not.toBe(errors[1]?.partial?.text)
    const { parts, error } = await failedParts(two)
    expect(error).toBe(errors[0])
    expectPartial(error, textOf(parts))
  })

  it('of one that never began has no partial result', async () => {
    const early = await errorOf(llm.generate('A', { signal: AbortSignal.abort() }).result())
    expect([early.code, early.partial]).toEqual(['ABORTED', undefined])
    expect((await errorOf(llm.generate('').result())).partial).toBeUndefined()
  })
})

function expectPartial({ partial }: WeirError, text: string): void {
  expect(partial).toMatchObject({ text, finish_reason: 'abort' })
  expect(partial?.choices[0]).toMatchObject({ index: 0, text, finish_reason: 'abort' })
}
