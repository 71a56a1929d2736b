/** Mutations of the engine; `scripts/mutate.mjs` runs them. */

/** @type {readonly import('./rows.mjs').Mutation[]} */
export const ENGINE = [
  {
    words: 'an accepted run is not cut at a stop',
    file: 'engine/engineCore.ts',
    from: 'tokenEnd ? answer.tokens.slice(0, tokenEnd.keep) : answer.tokens',
    to: 'answer.tokens',
    test: 'engine/stops.test.ts',
    title: 'never sees a token behind a stop id',
  },
  {
    words: 'tokens that the text hook cut off stay committed',
    file: 'engine/engineCore.ts',
    from: '    request.tokens.length = length + kept\n',
    to: '',
    test: 'engine/stops.test.ts',
    title: 'ends a request at a token of its choice before the next step is scheduled',
  },
  {
    words: 'a stop past the length limit is taken',
    file: 'engine/stopChecker.ts',
    from: 'if (stop >= 0 && stop < room) return',
    to: 'if (stop >= 0) return',
    test: 'engine/stops.test.ts',
    title: 'are found first, at the limit too',
  },
  {
    words: 'nobody compares the rows that ran with the plan',
    file: 'engine/engineCore.ts',
    from: 'assert(output.encodedRows === plan.rows, ',
    to: 'assert(true, ',
    test: 'engine/errors.test.ts',
    title: 'is raised by an answer with other rows than planned',
  },
  {
    words: 'a step that can give nobody a row passes in silence',
    file: 'engine/engineCore.ts',
    from: 'if (scheduled.requests.length === 0) throw',
    to: 'if (scheduled.requests.length < 0) throw',
    test: 'engine/errors.test.ts',
    title: 'is raised, with all that led to it, by a step that holds no request though some are unfinished',
  },
  {
    words: 'an aborted request goes on running',
    file: 'engine/engineCore.ts',
    from: '    this.#scheduler.remove(request.id)\n',
    to: '',
    test: 'engine/abort.test.ts',
    title: 'tells the request at once, and the engine whether there was one',
  },
  {
    words: 'the drafter takes up rows only in steps that draft',
    file: 'runner/stepCounts.ts',
    from: 'return kvPass > 0 || (drafting[0] ?? 0) > 0',
    to: 'return (drafting[0] ?? 0) > 0',
    test: 'timing.test.ts',
    title: 'a step is a pass of the target and one of the drafter, as without',
  },
]
