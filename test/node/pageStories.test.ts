import fc from 'fast-check'
import { expect, it } from 'vitest'
import { BUDGET_RULES } from '../../src/core/schedule/budgetPolicy.ts'
import { parseStories } from '../../src/demo/ownStories.ts'
import { policyAdvice } from '../../src/demo/policyAdvice.ts'
import { DEFAULT_SETTINGS } from '../../src/demo/settings.ts'
import { type OwnStory, storyEnd } from '../../src/demo/storyState.ts'

it('how a story ended is said in plain words', () => {
  expect(storyEnd('length', 120)).toEqual({ state: 'done', text: 'stopped at 120 tokens' })
  expect(storyEnd('stop', 1)).toEqual({ state: 'done', text: 'ended by itself, 1 token' })
  expect(storyEnd('abort', 0)).toEqual({ state: 'stopped', text: 'stopped by you, 0 tokens' })
})

it('own stories come back as they were saved, and what is none is left out', () => {
  const end = fc.record({ state: fc.constantFrom('done' as const, 'stopped' as const), text: fc.string() })
  const story: fc.Arbitrary<OwnStory> = fc.oneof(
    fc.record({ opening: fc.string(), index: fc.nat() }),
    fc.record({ opening: fc.string(), index: fc.nat(), text: fc.string(), end }),
  )
  fc.assert(
    fc.property(fc.array(story), (stories) => {
      expect(parseStories(JSON.stringify(stories))).toEqual(stories)
    }),
  )
  fc.assert(
    fc.property(fc.json(), (json) => {
      for (const { opening } of parseStories(json)) expect(typeof opening).toBe('string')
    }),
  )
  expect(parseStories('[{"opening":"a","index":16,"end":{"state":"lost","text":""}},{"opening":"b"},null]')).toEqual([])
})

it('a policy is said to be refused where its rule hands out more rows than the budget has', () => {
  const settings = fc.record({
    policy: fc.constantFrom('exact' as const, 'reserve' as const, 'uncharged' as const),
    b: fc.integer({ min: 64, max: 2048 }),
    s: fc.integer({ min: 1, max: 64 }),
    drafts: fc.nat({ max: 4 }),
    adaptive: fc.boolean(),
  })
  fc.assert(
    fc.property(settings, ({ policy, b, s, drafts, adaptive }) => {
      const rule = BUDGET_RULES[policy]
      const speculative = { method: 'mtp', numSpeculativeTokens: drafts, adaptive } as const
      const uncharged = rule.draftCharge === 0 ? s * drafts : 0
      const most = rule.budget({ maxNumBatchedTokens: b, maxNumSeqs: s, speculative }) + uncharged
      const advice = policyAdvice({ ...DEFAULT_SETTINGS, policy, b, s, drafts, adaptive }, b)
      expect(advice.includes('Will be refused')).toBe(most > b)
      expect(advice === '').toBe(policy === 'exact')
    }),
  )
})
