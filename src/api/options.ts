/**
 * The checks of `LLM.load`'s options that need no model, made before a worker is started: unknown keys, types, ranges.
 * Defaults and what depends on the model are the worker's business. It must never know what an option does.
 */

import { QUANTIZATIONS, SCHEDULING_POLICIES, SPECULATIVE_METHODS } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import type { BackendOptions, LoadOptions, WorkerOptions } from '../protocol/options.ts'
import { BACKEND_NUMBERS, OPTION_NUMBERS, SPECULATIVE_NUMBERS } from '../protocol/ranges.ts'
import type { ServiceOptions } from '../protocol/service.ts'
import { BUDGET_POLICIES } from '../protocol/stepRecord.ts'
import { nearestName } from '../util/nearestName.ts'
import { shownValue } from '../util/shownValue.ts'
import { readFields } from './plainData.ts'
import { A_SIGNAL, isSignal } from './signal.ts'

interface Check {
  readonly allowed: string
  readonly accepts: (value: unknown) => boolean
}

type Checks = Readonly<Record<string, Check>>

const FLAG: Check = { allowed: 'true or false', accepts: (value) => typeof value === 'boolean' }
const CALLBACK: Check = { allowed: 'a function', accepts: (value) => typeof value === 'function' }

const BACKEND_CHECKS = {
  backend: oneOf('auto', 'webgpu', 'wasm'),
  numThreads: BACKEND_NUMBERS.numThreads,
} satisfies Readonly<Record<keyof BackendOptions, Check>>

const SERVICE_CHECKS = {
  ...BACKEND_CHECKS,
  ...OPTION_NUMBERS,
  speculative: { allowed: "{ method: 'mtp' | 'ngram', numSpeculativeTokens, … } or undefined", accepts: isRecord },
  budgetPolicy: oneOf(...BUDGET_POLICIES),
  kvCacheDtype: oneOf('f16', 'f32'),
  quantization: oneOf(...QUANTIZATIONS),
  enablePrefixCaching: FLAG,
  schedulingPolicy: oneOf(...SCHEDULING_POLICIES),
  penalties: FLAG,
  debug: { allowed: '{ logits, steps, trace }', accepts: isRecord },
} satisfies Readonly<Record<keyof ServiceOptions, Check>>

const WORKER_CHECKS = {
  worker: { allowed: 'a Worker or a function that makes one', accepts: isWorker },
  assets: { allowed: 'the URL of a folder', accepts: isUrl },
} satisfies Readonly<Record<keyof WorkerOptions, Check>>

const PAGE_CHECKS = {
  ...WORKER_CHECKS,
  onProgress: CALLBACK,
  onStep: CALLBACK,
  onWarning: CALLBACK,
  signal: { allowed: A_SIGNAL, accepts: isSignal },
} satisfies Readonly<Record<Exclude<keyof LoadOptions, keyof ServiceOptions>, Check>>

const SPECULATIVE_CHECKS: Checks = {
  method: oneOf(...SPECULATIVE_METHODS),
  ...SPECULATIVE_NUMBERS,
  adaptive: FLAG,
  draftVocabFile: { allowed: 'a URL', accepts: (value) => typeof value === 'string' && value !== '' },
}

/** Options of `LLM.probe`. */
export type ProbeOptions = WorkerOptions & BackendOptions

const SPECULATIVE_NEEDS = ['method', 'numSpeculativeTokens']

const DEBUG_CHECKS: Checks = { logits: oneOf('digest', 'full'), steps: FLAG, trace: FLAG }

/**
 * Options read once into an object of our own, without missing values: what a page passes may be a proxy, or change.
 * @throws INVALID_OPTION
 */
export function readLoadOptions(options: LoadOptions | null | undefined): LoadOptions {
  const read = (option: string, value: unknown, allowed: string) =>
    readFields(value, () => {
      throw invalid(option, value, allowed)
    })
  try {
    const { speculative, debug, ...given } = read('options', options, 'an object')
    const { speculative: ofSpeculative, debug: ofDebug } = SERVICE_CHECKS
    const plain: Record<string, unknown> = {
      ...given,
      ...(speculative !== undefined && { speculative: read('speculative', speculative, ofSpeculative.allowed) }),
      ...(debug !== undefined && { debug: read('debug', debug, ofDebug.allowed) }),
    }
    return plain
  } catch (thrown) {
    if (thrown instanceof WeirError) throw thrown
    const reason = thrown instanceof Error ? thrown.message : String(thrown)
    throw new WeirError('INVALID_OPTION', `the options cannot be read: ${reason}`, {}, { cause: thrown })
  }
}

/**
 * The part of `options`, as read, that goes to the worker.
 * @throws INVALID_OPTION naming the option, its value and what is allowed
 */
export function checkLoadOptions(options: LoadOptions): ServiceOptions {
  checkRecord('', options, { ...SERVICE_CHECKS, ...PAGE_CHECKS })
  if (options.speculative) {
    checkRecord('speculative.', options.speculative, SPECULATIVE_CHECKS)
    requireFields('speculative.', options.speculative, SPECULATIVE_CHECKS, SPECULATIVE_NEEDS)
  }
  if (options.debug) checkRecord('debug.', options.debug, DEBUG_CHECKS)
  return Object.fromEntries(Object.entries(options).filter(([key]) => key in SERVICE_CHECKS))
}

/**
 * Where a worker comes from and what it runs on, read once.
 * @throws INVALID_OPTION naming the option, its value and what is allowed
 */
export function readProbeOptions(options: ProbeOptions | null | undefined): ProbeOptions {
  const given = readLoadOptions(options)
  checkRecord('', given, { ...WORKER_CHECKS, ...BACKEND_CHECKS })
  return given
}

/** Where a worker comes from, read once. @throws INVALID_OPTION as above */
export function readWorkerOptions(options: WorkerOptions | null | undefined): WorkerOptions {
  const given = readLoadOptions(options)
  checkRecord('', given, WORKER_CHECKS)
  return given
}

function checkRecord(path: string, record: object, checks: Checks): void {
  for (const [key, value] of Object.entries(record)) {
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined
    if (!check) throw unknownOption(path, key, Object.keys(checks))
    if (!check.accepts(value)) throw invalid(`${path}${key}`, value, check.allowed)
  }
}

function unknownOption(path: string, key: string, known: readonly string[]): WeirError {
  const near = nearestName(key, known)
  const hint = near === undefined ? '' : `did you mean ${path}${near}? `
  const message = `unknown option ${path}${key}: ${hint}the options are ${known.join(', ')}`
  return new WeirError('INVALID_OPTION', message, {
    option: `${path}${key}`,
    ...(near !== undefined && { nearest: `${path}${near}` }),
  })
}

function requireFields(path: string, record: object, checks: Checks, needed: readonly string[]): void {
  const fields = new Map(Object.entries(record))
  for (const key of needed) {
    if (fields.get(key) === undefined) throw invalid(`${path}${key}`, undefined, checks[key]?.allowed ?? 'given')
  }
}

function invalid(option: string, value: unknown, allowed: string): WeirError {
  const shown = shownValue(value)
  return new WeirError('INVALID_OPTION', `${option} must be ${allowed}, not ${shown}`, { option, value: shown })
}

function oneOf(...values: readonly string[]): Check {
  return {
    allowed: values.map((value) => `'${value}'`).join(' or '),
    accepts: (value) => typeof value === 'string' && values.includes(value),
  }
}

/** Not by class: it may be of another realm. */
function isWorker(value: unknown): boolean {
  return typeof value === 'function' || (isRecord(value) && 'postMessage' in value && 'terminate' in value)
}

/** Not by class either. */
function isUrl(value: unknown): boolean {
  return typeof value === 'string' || (isRecord(value) && 'href' in value)
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
