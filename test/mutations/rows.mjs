/** Mutations of how a step's rows are handed out and counted; `scripts/mutate.mjs` runs them. */

/**
 * @typedef {object} Mutation
 * @property {string} words what is wrong then
 * @property {string} file under src
 * @property {string} from text that the file has exactly once
 * @property {string} to what it is replaced by
 * @property {string} test file under test/node
 * @property {string} title of the test that fails then, as it is reported
 */

/** @type {readonly Mutation[]} */
export const ROWS = [
  {
    words: 'a decode is charged 1 under `exact`, whatever drafts it verifies',
    file: 'core/schedule/budgetPolicy.ts',
    from: 'draftCharge: 1,',
    to: 'draftCharge: 0,',
    test: 'core/schedule/invariantsBudget.test.ts',
    title: 'is charged so beside other prompts, and in any budget',
  },
  {
    words: 'rows of drafts cut for lack of blocks are not refunded',
    file: 'core/kv/blockReservation.ts',
    from: '  step.rowsLeft += (allocation.n - n) * (allocation.prefill ? 1 : draftCharge)\n',
    to: '',
    test: 'core/schedule/schedulerBlocks.test.ts',
    title: 'gives up proposals, then drafts, before it preempts anybody',
  },
  {
    words: 'base rows are dealt after the drafts of those before',
    file: 'core/schedule/rowAllocator.ts',
    from: `    const decoding = this.#allocateBaseRows(step, drafts)
    const reservedRows = this.#reservedRows(step, decoding, drafts, admitting)
    allocateDrafts(step, decoding, reservedRows, most, rule.draftCharge, stepNumber)
`,
    to: `    const decoding: RequestAllocation[] = []
    for (const one of running.ordered) {
      if (!one.decodeReady || !one.wantsRows || step.rowsLeft === 0) continue
      const usable = this.#state.speculation.verifiable(one, drafts)
      const allocation = step.add(new RequestAllocation(one, 1, false, false, usable))
      allocation.k = Math.min(usable, most, step.rowsLeft)
      allocation.n += allocation.k
      step.rowsLeft -= allocation.k * rule.draftCharge
      decoding.push(allocation)
    }
`,
    test: 'core/schedule/scheduler.test.ts',
    title: 'trims drafts before base rows, evenly, and favours nobody over time',
  },
  {
    words: 'the rounds of drafts begin at the same request in every step',
    file: 'core/schedule/draftAllocation.ts',
    from: 'allocations[(stepNumber + turn) % turns]',
    to: 'allocations[turn]',
    test: 'core/schedule/invariantsBudget.test.ts',
    title: 'are shared out fairly when rows are short: over one rotation nobody gets more than another',
  },
  {
    words: 'no rows are set aside for prompts: drafts starve them',
    file: 'core/schedule/rowAllocator.ts',
    from: 'allocateDrafts(step, decoding, reservedRows, ',
    to: 'allocateDrafts(step, decoding, 0, ',
    test: 'core/schedule/scheduler.test.ts',
    title: 'leaves a quarter of B to prompts, and no more than they want',
  },
  {
    words: 'rows are set aside for running prompts, and none for those that wait',
    file: 'core/schedule/rowAllocator.ts',
    from: 'if (wanted >= most || !admitting) return',
    to: 'return',
    test: 'core/schedule/scheduler.test.ts',
    title: 'leaves a quarter of B to prompts, and no more than they want',
  },
  {
    words: 'rows are set aside though no prompt can come in',
    file: 'core/schedule/rowAllocator.ts',
    from: 'return wanted + new AdmissionRound(this.#state, scratch).wantedRows(most - wanted)',
    to: 'return most',
    test: 'core/schedule/scheduler.test.ts',
    title: 'sets nothing aside for a prompt that cannot come in',
  },
  {
    words: 'drafts are verified past the length limit',
    file: 'core/request.ts',
    from: 'Math.max(0, Math.min(this.drafts, this.request.maxTotal - this.committedMax - 1))',
    to: 'this.drafts',
    test: 'core/schedule/scheduler.test.ts',
    title: 'trims drafts and proposals to what may still be said',
  },
  {
    words: 'rows are given out past the length limit while steps are in flight',
    file: 'core/request.ts',
    from: 'return this.committedMax < this.request.maxTotal',
    to: 'return this.request.tokens.length < this.request.maxTotal',
    test: 'core/schedule/vllmScheduler.test.ts',
    title: 'run no row too many for 3 tokens',
  },
  {
    words: 'every chunk of a prompt samples',
    file: 'core/schedule/stepAllocation.ts',
    from: 'return !prefill || firstPosition + n === running.prefillEnd',
    to: 'return true',
    test: 'core/schedule/scheduler.test.ts',
    title: 'cuts three prompts of 800 to 400 + 400 + 224 of 1024 rows, and goes on in order',
  },
  {
    words: 'drafts are proposed in the middle of a prompt',
    file: 'core/schedule/stepAllocation.ts',
    from: '  if (!samples(allocation)) return 0\n',
    to: '',
    test: 'core/schedule/scheduler.test.ts',
    title: 'verifies no drafts on the chunks of a prompt',
  },
  {
    words: '`longPrefillTokenThreshold` is ignored',
    file: 'core/cost.ts',
    from: 'return threshold > 0 ? Math.min(remaining, threshold) : remaining',
    to: 'return remaining',
    test: 'core/schedule/scheduler.test.ts',
    title: 'cuts three prompts of 800 to 400 + 400 + 224 of 1024 rows, and goes on in order',
  },
  {
    words: 'the drafter sees the last token of a chunk instead of the next one',
    file: 'core/stepPlanBuilder.ts',
    from: 'knownToken(tokens, end)',
    to: 'knownToken(tokens, end - 1)',
    test: 'core/schedule/invariantsChunking.test.ts',
    title: 'tell the drafter the next known token, so that its drafts are those of the prompt uncut',
  },
  {
    words: 'sampled rows are counted without the one after the drafts',
    file: 'core/cost.ts',
    from: 'if (samples) rows += k + 1',
    to: 'if (samples) rows += k',
    test: 'core/schedule/budgetPolicy.test.ts',
    title: 'recounts the rows',
  },
  {
    words: 'the seal refuses nothing',
    file: 'core/schedule/seal.ts',
    from: '  const budget = rule.budget(options)\n',
    to: '  return { base, draft, prefill, sampled, charged }\n  const budget = rule.budget(options)\n',
    test: 'core/schedule/budgetPolicy.test.ts',
    title: 'refuses more rows than B under exact, even when each is charged',
  },
  {
    words: 'the seal believes the charge',
    file: 'core/schedule/seal.ts',
    from: 'if (charged !== due || charged > budget) {',
    to: 'if (charged > budget) {',
    test: 'core/schedule/budgetPolicy.test.ts',
    title: 'refuses a charge that is not the rows',
  },
  {
    words: 'the drafter catches up on rows with their own tokens instead of the next ones',
    file: 'core/stepPlanBuilder.ts',
    from: 'tokens.slice(catchUpFrom + 1, catchUpFrom + 1 + catchUp)',
    to: 'tokens.slice(catchUpFrom, catchUpFrom + catchUp)',
    test: 'core/schedule/kvPassAllocation.test.ts',
    title: 'takes up every row once at most for whoever drafts, and drafts are those of one that never paused (28)',
  },
  {
    words: 'a request’s own rows are taken up beyond B',
    file: 'core/schedule/kvPassAllocation.ts',
    from: 'allocation.catchUp === lag && n <= rest',
    to: 'allocation.catchUp === lag',
    test: 'core/schedule/kvPassAllocation.test.ts',
    title: 'takes up every row once at most for whoever drafts, and drafts are those of one that never paused (28)',
  },
  {
    words: 'no rows are set aside for the drafter to catch up',
    file: 'core/schedule/rowAllocator.ts',
    from: 'wanted += one.drafterLag',
    to: 'wanted += 0',
    test: 'core/schedule/kvPassAllocation.test.ts',
    title: 'catches up also where drafts of others fill every step: rows are set aside for it',
  },
  {
    words: 'whom the drafter cannot follow yet proposes all the same',
    file: 'core/schedule/kvPassAllocation.ts',
    from: '    if (allocation.inKvPass) rest -= n\n    else allocation.m = 0\n',
    to: '    if (allocation.inKvPass) rest -= n\n',
    test: 'core/schedule/kvPassAllocation.test.ts',
    title: 'takes up every row once at most for whoever drafts, and drafts are those of one that never paused (28)',
  },
  {
    words: 'a single time of a number of drafts is believed, though it may be an outlier',
    file: 'core/speculation/probeSchedule.ts',
    from: ' && !unconfirmed\n',
    to: '\n',
    test: 'core/speculation/probes.test.ts',
    title: 'are made again where the only time of a number of drafts was an outlier',
  },
  {
    words: 'a probe waits for ever until the drafter has caught up for everybody',
    file: 'core/speculation/goodputController.ts',
    from: 'probe.catchUpStepsLeft-- > 0',
    to: 'true',
    test: 'core/speculation/probes.test.ts',
    title: 'does not hold up a probe for ever where a step has too few rows for all who lag',
  },
  {
    words: 'a number of drafts is probed though full acceptance would lose',
    file: 'core/speculation/probeSchedule.ts',
    from: 'k === held || loses',
    to: 'k === held',
    test: 'core/speculation/probes.test.ts',
    title: 'are not made where drafts would lose even if all were accepted',
  },
]
