/** Mutations of the step on the host; `scripts/mutate.mjs` runs them. */

/** @type {readonly import('./rows.mjs').Mutation[]} */
export const HOST = [
  {
    words: 'the plan is not counted against the buffers',
    file: 'host/hostRunner.ts',
    from: '    checkBudget(plan, this.#setup.geometry)\n',
    to: '',
    test: 'host/hostRunner.test.ts',
    title: 'is refused with BUDGET_EXCEEDED before anything of it runs, and the next one is served',
  },
  {
    words: 'rejected drafts stay computed on the host',
    file: 'host/verification.ts',
    from: '    table.computed -= k - accepted\n',
    to: '',
    test: 'host/compared.test.ts',
    title: 'brings the same tokens, accepted drafts, proposals and digests in each step',
  },
  {
    words: 'a draft is accepted whatever is sampled',
    file: 'host/verification.ts',
    from: "if (token !== draft || planned.verification === 'none') break",
    to: "if (draft === undefined || planned.verification === 'none') break",
    test: 'host/compared.test.ts',
    title: 'brings the same tokens, accepted drafts, proposals and digests in each step',
  },
  {
    words: 'rejected rows are in the KV pass of the drafter',
    file: 'host/drafting.ts',
    from: 'verified.tokens.forEach((token, j) => {',
    to: '[...verified.tokens, ...verified.verified.slice(verified.accepted)].forEach((token, j) => {',
    test: 'host/compared.test.ts',
    title: 'brings the same tokens, accepted drafts, proposals and digests in each step',
  },
  {
    words: 'committed tokens are not counted for penalties',
    file: 'host/verification.ts',
    from: '      table.penalties?.count(token)\n',
    to: '',
    test: 'host/hostRunner.test.ts',
    title: 'are those of the definitions, with 3 drafts, chunks, a cached prefix and preemptions',
  },
  {
    words: 'noise is bounded too low',
    file: 'host/sampling/noise.ts',
    from: 'export const MOST_NOISE = 22.9',
    to: 'export const MOST_NOISE = 2',
    test: 'host/sampling.test.ts',
    title: 'falls as the bits rise and never passes its bound',
  },
  {
    words: 'a row past the last position has a slot',
    file: 'host/requestTable.ts',
    from: 'if (position > this.#lastPosition) return NO_SLOT\n',
    to: '\n',
    test: 'host/hostRunner.test.ts',
    title: 'have no slot, the last position and a run of their own each',
  },
]
