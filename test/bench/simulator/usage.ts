/** The simulator's arguments by name: value, default and help text. */

export interface ArgumentHelp {
  readonly value: string
  /** undefined: off */
  readonly fallback: string | undefined
  readonly help: string
}

export const ARGUMENTS = {
  requests: { value: 'N', fallback: '200', help: 'requests in the trace' },
  arrival: { value: 'PROCESS', fallback: 'poisson:8', help: 'poisson:PER_SECOND, uniform:PER_SECOND (even) or burst' },
  prompt: { value: 'LENGTHS', fallback: 'lognormal:200,0.6', help: 'fixed:N, uniform:A,B or lognormal:MEDIAN,SIGMA' },
  output: { value: 'LENGTHS', fallback: 'lognormal:80,0.5', help: 'the same, for tokens to generate' },
  'shared-prefix': {
    value: 'F:N',
    fallback: undefined,
    help: 'part F of the requests begins with a shared prefix of N tokens',
  },
  priorities: {
    value: 'LIST',
    fallback: '0',
    help: 'levels that requests draw, with --scheduling priority; lower is first',
  },
  b: { value: 'B', fallback: '256', help: 'maxNumBatchedTokens: the most rows of a step' },
  s: { value: 'S', fallback: '16', help: 'maxNumSeqs: the most requests running at once' },
  k: { value: 'none|0..4', fallback: 'none', help: 'numSpeculativeTokens; none: no drafter' },
  policy: { value: 'POLICY', fallback: 'exact', help: 'exact, reserve or uncharged' },
  compare: { value: 'LIST', fallback: undefined, help: 'policies to run on the same trace, instead of --policy' },
  'compare-drafts': {
    value: 'LIST',
    fallback: undefined,
    help: 'none, 0..4 and adaptive (up to 4), to run on the same trace instead of --k and --adaptive',
  },
  scheduling: { value: 'ORDER', fallback: 'fcfs', help: 'fcfs or priority' },
  'max-model-len': { value: 'N', fallback: '1024', help: 'maxModelLen: the most tokens of a request' },
  'kv-tokens': { value: 'N', fallback: '8192', help: 'kvCacheTokens: tokens in the KV cache' },
  threshold: { value: 'N', fallback: '0', help: 'longPrefillTokenThreshold; 0: none' },
  'partial-prefills': { value: 'N', fallback: '0', help: 'maxNumPartialPrefills; 0: no bound' },
  watermark: { value: 'F', fallback: '0.01', help: 'part of the KV blocks kept free on admission' },
  'prefix-cache': { value: 'on|off', fallback: 'on', help: 'enablePrefixCaching' },
  adaptive: { value: 'on|off', fallback: 'off', help: 'speculative.adaptive: as many drafts as pay, up to K' },
  acceptance: { value: 'P', fallback: '0.7', help: 'chance that a draft is right, given those before it' },
  cost: {
    value: 'MODEL',
    fallback: 'linear:8,0.1',
    help: 'linear:BASE,PER_ROW, stepped:BASE,ROWS,PER_STEP or flat:MS',
  },
  'draft-cost': { value: 'MS', fallback: '0', help: 'milliseconds of a draft pass' },
  'kv-pass-cost': { value: 'MS', fallback: '0', help: "milliseconds of a row of the drafter's KV pass" },
  overrun: { value: 'run|refuse', fallback: 'run', help: 'what becomes of a step with more rows than B' },
  seed: { value: 'N', fallback: '1', help: 'decides everything that is drawn' },
  out: { value: 'FOLDER', fallback: 'out/simulate', help: 'where charts and figures go' },
} satisfies Readonly<Record<string, ArgumentHelp>>

export const FLAGS = {
  table: 'print the largest step of each policy in known settings, and stop',
  help: 'print this, and stop',
}

export type ArgumentName = keyof typeof ARGUMENTS

export function usage(): string {
  const named = Object.entries<ArgumentHelp>(ARGUMENTS).map(([name, { value, fallback, help }]) => {
    return [`--${name} ${value}`, fallback === undefined ? help : `${help} (${fallback})`]
  })
  const flags = Object.entries(FLAGS).map(([name, help]) => [`--${name}`, help])
  const lines = [...named, ...flags].map(([left = '', right]) => `  ${left.padEnd(22)} ${right}`)
  return ['usage: npm run simulate -- [arguments]', ...lines].join('\n')
}
