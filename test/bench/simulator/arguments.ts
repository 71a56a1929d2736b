/**
 * Parses the simulator's command line. Unknown and malformed arguments are refused by name; the last of repeated arguments counts.
 */

import { parseArgs } from 'node:util'
import { MAX_SPECULATIVE_TOKENS } from '../../../src/core/cost.ts'
import type { EngineOptions, SchedulingPolicy, SpeculativeOptions } from '../../../src/protocol/engineOptions.ts'
import { SCHEDULING_POLICIES } from '../../../src/protocol/engineOptions.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import { BUDGET_POLICIES, type BudgetPolicy } from '../../../src/protocol/stepRecord.ts'
import { resolveOptions } from '../../../src/worker/engineOptions.ts'
import { GPU_DEFAULTS } from '../../helpers/backendDefaults.ts'
import type { RowCost } from './costModel.ts'
import type { ArrivalProcess, LengthDistribution } from './distributions.ts'
import { type DeviceModel, OVERRUNS } from './simulatedRunner.ts'
import type { Variant } from './simulation.ts'
import { ARGUMENTS, type ArgumentName, FLAGS, usage } from './usage.ts'
import type { WorkloadSpec } from './workload.ts'

export interface SimulationArguments {
  readonly workload: WorkloadSpec
  readonly maxModelLen: number
  /** at least one; they differ in the compared option */
  readonly variants: readonly Variant[]
  readonly device: DeviceModel
  readonly seed: number
  readonly out: string
  readonly task: 'simulate' | 'table' | 'help'
}

/** An invalid command line; the message ends with the usage. */
export class ArgumentError extends Error {
  override readonly name = 'ArgumentError'
  /** its name without dashes; undefined when the fault is not in a single argument */
  readonly argument: string | undefined

  constructor(argument: string | undefined, what: string) {
    super(`${what}\n\n${usage()}`)
    this.argument = argument
  }
}

/** @throws ArgumentError */
export function parseArguments(argv: readonly string[]): SimulationArguments {
  const given = new GivenArguments(argv)
  const options = engineOptions(given)
  return {
    workload: workload(given, options),
    maxModelLen: options.maxModelLen,
    variants: given.has('compare-drafts') ? draftVariants(given) : policyVariants(given),
    device: {
      cost: {
        rows: rowCost(given),
        perDraftPass: given.number('draft-cost', 0),
        perKvPassRow: given.number('kv-pass-cost', 0),
      },
      acceptance: given.number('acceptance', 0, 1),
      overrun: given.oneOf('overrun', OVERRUNS),
    },
    seed: given.integer('seed', 0, 2 ** 32 - 1),
    out: given.text('out'),
    task: given.task,
  }
}

function policyVariants(given: GivenArguments): Variant[] {
  const options = engineOptions(given)
  return given.policies().map((budgetPolicy) => ({ name: budgetPolicy, options: { ...options, budgetPolicy } }))
}

function draftVariants(given: GivenArguments): Variant[] {
  for (const name of ['k', 'adaptive', 'compare'] as const) given.exclude(name, 'compare-drafts')
  const budgetPolicy = given.oneOf('policy', BUDGET_POLICIES)
  return [...new Set(given.list('compare-drafts'))].map((drafts) => {
    const adaptive = drafts === 'adaptive'
    const speculative = speculation(given, 'compare-drafts', adaptive ? `${MAX_SPECULATIVE_TOKENS}` : drafts, adaptive)
    const name = /^\d/.test(drafts) ? `${drafts} drafts` : drafts
    return { name, options: { ...engineOptions(given), budgetPolicy, speculative } }
  })
}

/** @param k a number of drafts, or 'none' */
function speculation(
  given: GivenArguments,
  name: ArgumentName,
  k: string,
  adaptive: boolean,
): SpeculativeOptions | undefined {
  if (k === 'none') return undefined
  const numSpeculativeTokens = given.toNumber(name, k, 0, MAX_SPECULATIVE_TOKENS, true)
  return { method: 'mtp', numSpeculativeTokens, adaptive }
}

function engineOptions(given: GivenArguments): EngineOptions {
  const adaptive = given.oneOf('adaptive', ['on', 'off']) === 'on'
  const speculative = speculation(given, 'k', given.text('k'), adaptive)
  const maxModelLen = given.integer('max-model-len', 2)
  try {
    const resolved = resolveOptions(
      {
        maxNumBatchedTokens: given.integer('b', 1),
        maxNumSeqs: given.integer('s', 1),
        schedulingPolicy: given.oneOf<SchedulingPolicy>('scheduling', SCHEDULING_POLICIES),
        maxModelLen,
        kvCacheTokens: given.integer('kv-tokens', 1),
        longPrefillTokenThreshold: given.integer('threshold', 0),
        maxNumPartialPrefills: given.integer('partial-prefills', 0),
        watermark: given.number('watermark', 0, 1),
        enablePrefixCaching: given.oneOf('prefix-cache', ['on', 'off']) === 'on',
      },
      { drafter: true, maxPositions: maxModelLen },
      GPU_DEFAULTS,
    )
    return { ...resolved, speculative }
  } catch (thrown) {
    if (thrown instanceof WeirError) throw new ArgumentError(undefined, thrown.message)
    throw thrown
  }
}

function workload(given: GivenArguments, options: EngineOptions): WorkloadSpec {
  if (given.has('priorities') && options.schedulingPolicy !== 'priority') {
    throw new ArgumentError('priorities', '--priorities needs --scheduling priority')
  }
  return {
    requests: given.integer('requests', 1, 1_000_000),
    arrival: arrival(given),
    prompt: lengths(given, 'prompt'),
    output: lengths(given, 'output'),
    sharedPrefix: given.has('shared-prefix') ? sharedPrefix(given, options.maxModelLen) : undefined,
    priorities: given.list('priorities').map((level) => given.toNumber('priorities', level, -1000, 1000, true)),
  }
}

function arrival(given: GivenArguments): ArrivalProcess {
  const { kind, values } = given.form('arrival', { poisson: 1, uniform: 1, burst: 0 })
  if (kind === 'burst') return { kind }
  return { kind, perSecond: given.toNumber('arrival', values[0], Number.MIN_VALUE) }
}

function lengths(given: GivenArguments, name: 'prompt' | 'output'): LengthDistribution {
  const { kind, values } = given.form(name, { fixed: 1, uniform: 2, lognormal: 2 })
  if (kind === 'lognormal') {
    return { kind, median: given.toNumber(name, values[0], 1), sigma: given.toNumber(name, values[1], 0, 10) }
  }
  const least = given.toNumber(name, values[0], 1, Number.MAX_SAFE_INTEGER, true)
  if (kind === 'fixed') return { kind, tokens: least }
  return { kind, least, most: given.toNumber(name, values[1], least, Number.MAX_SAFE_INTEGER, true) }
}

/** The prefix must leave room for one more prompt token and one output token. */
function sharedPrefix(given: GivenArguments, maxModelLen: number): WorkloadSpec['sharedPrefix'] {
  const [fraction, tokens] = given.text('shared-prefix').split(':')
  return {
    fraction: given.toNumber('shared-prefix', fraction, 0, 1),
    tokens: given.toNumber('shared-prefix', tokens, 1, maxModelLen - 2, true),
  }
}

/** A step must take some time, or the clock stands still and no further request arrives while the engine has work. */
function rowCost(given: GivenArguments): RowCost {
  const { kind, values } = given.form('cost', { linear: 2, stepped: 3, flat: 1 })
  const [first, second, third] = values
  const least = kind === 'flat' ? Number.MIN_VALUE : 0
  const base = given.toNumber('cost', first, least)
  if (kind === 'flat') return { kind, perStep: base }
  const perUnit = given.toNumber('cost', kind === 'linear' ? second : third, base > 0 ? 0 : Number.MIN_VALUE)
  if (kind === 'linear') return { kind, base, perRow: perUnit }
  return { kind, base, rows: given.toNumber('cost', second, 1, Number.MAX_SAFE_INTEGER, true), perStep: perUnit }
}

/** Argument values by name, with defaults. */
class GivenArguments {
  readonly task: SimulationArguments['task']
  readonly #values: ReadonlyMap<string, string>

  constructor(argv: readonly string[]) {
    this.#values = split(argv)
    this.task = this.#values.has('help') ? 'help' : this.#values.has('table') ? 'table' : 'simulate'
  }

  has(name: ArgumentName): boolean {
    return this.#values.has(name)
  }

  text(name: ArgumentName): string {
    const value = this.#values.get(name) ?? ARGUMENTS[name].fallback
    return value || this.#refuse(name, `takes ${ARGUMENTS[name].value}`)
  }

  list(name: ArgumentName): string[] {
    return this.text(name).split(',')
  }

  oneOf<T extends string>(name: ArgumentName, allowed: readonly T[], text = this.text(name)): T {
    const value = allowed.find((one) => one === text)
    return value ?? this.#refuse(name, `takes ${allowed.join(', ')}, not '${text}'`)
  }

  integer(name: ArgumentName, least: number, most = Number.MAX_SAFE_INTEGER): number {
    return this.toNumber(name, this.text(name), least, most, true)
  }

  number(name: ArgumentName, least: number, most = Number.MAX_VALUE): number {
    return this.toNumber(name, this.text(name), least, most)
  }

  toNumber(
    name: ArgumentName,
    text: string | undefined,
    least: number,
    most = Number.MAX_VALUE,
    whole = false,
  ): number {
    const value = /^-?(\d+\.?\d*|\.\d+)$/.test(text ?? '') ? Number(text) : Number.NaN
    if (value >= least && value <= most && (!whole || Number.isSafeInteger(value))) return value
    return this.#refuse(name, `takes ${range(least, most, whole)} in ${ARGUMENTS[name].value}, not '${text ?? ''}'`)
  }

  /** Parses `KIND:VALUE,VALUE`. @param kinds the number of values of each kind */
  form<K extends string>(name: ArgumentName, kinds: Readonly<Record<K, number>>): { kind: K; values: string[] } {
    const [head = '', ...rest] = this.text(name).split(':')
    const kind = this.oneOf(name, Object.keys(kinds) as K[], head)
    const values = rest.length === 0 ? [] : rest.join(':').split(',')
    if (values.length === kinds[kind]) return { kind, values }
    return this.#refuse(name, `${kind} has ${kinds[kind]} values, not ${values.length}: ${ARGUMENTS[name].help}`)
  }

  policies(): readonly BudgetPolicy[] {
    if (!this.has('compare')) return [this.oneOf('policy', BUDGET_POLICIES)]
    this.exclude('policy', 'compare')
    return [...new Set(this.list('compare').map((each) => this.oneOf('compare', BUDGET_POLICIES, each)))]
  }

  exclude(name: ArgumentName, other: ArgumentName): void {
    if (this.has(name)) this.#refuse(name, `and --${other} exclude one another`)
  }

  #refuse(name: ArgumentName, what: string): never {
    throw new ArgumentError(name, `--${name} ${what}`)
  }
}

/** The given arguments by name; a flag has the value 'true'. */
function split(argv: readonly string[]): ReadonlyMap<string, string> {
  const named = Object.keys(ARGUMENTS).map((name) => [name, { type: 'string' }] as const)
  const flags = Object.keys(FLAGS).map((name) => [name, { type: 'boolean' }] as const)
  try {
    const { values } = parseArgs({ args: [...argv], options: Object.fromEntries([...named, ...flags]) })
    return new Map(Object.entries(values).map(([name, value]) => [name, String(value)]))
  } catch (thrown) {
    throw new ArgumentError(undefined, thrown instanceof Error ? thrown.message : String(thrown))
  }
}

function range(least: number, most: number, whole: boolean): string {
  const what = whole ? 'an integer' : 'a number'
  if (most >= Number.MAX_SAFE_INTEGER)
    return least === Number.MIN_VALUE ? `${what} above 0` : `${what} of at least ${least}`
  return `${what} from ${least} to ${most}`
}
