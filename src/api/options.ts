/**
 * The checks of `LLM.load`'s options that need no model, made before a worker is started: unknown keys, types, backends.
 * Defaults and what depends on the model are the worker's business. It must never know what an option does.
 */

import { SCHEDULING_POLICIES, SPECULATIVE_METHODS } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import type { LoadOptions, WorkerOptions } from '../protocol/options.ts'
import type { ServiceOptions } from '../protocol/service.ts'
import { BUDGET_POLICIES } from '../protocol/stepRecord.ts'

interface Check {
  readonly allowed: string
  readonly accepts: (value: unknown) => boolean
}

type Checks = Readonly<Record<string, Check>>

const COUNT: Check = { allowed: 'a positive integer', accepts: (value) => isInteger(value, 1) }
const ZERO_OR_COUNT: Check = { allowed: 'a non-negative integer', accepts: (value) => isInteger(value, 0) }
const FLAG: Check = { allowed: 'true or false', accepts: (value) => typeof value === 'boolean' }
const CALLBACK: Check = { allowed: 'a function', accepts: (value) => typeof value === 'function' }
const RECORD: Check = { allowed: 'an object', accepts: isRecord }

const SERVICE_CHECKS = {
  backend: oneOf('auto', 'webgpu', 'wasm'),
  maxNumBatchedTokens: COUNT,
  maxNumSeqs: COUNT,
  maxModelLen: COUNT,
  kvCacheTokens: COUNT,
  speculative: { ...RECORD, allowed: "{ method: 'mtp' | 'ngram', numSpeculativeTokens, … } or undefined" },
  budgetPolicy: oneOf(...BUDGET_POLICIES),
  quantization: oneOf('none'),
  kvCacheDtype: oneOf('f16', 'f32'),
  enablePrefixCaching: FLAG,
  longPrefillTokenThreshold: ZERO_OR_COUNT,
  maxNumPartialPrefills: ZERO_OR_COUNT,
  schedulingPolicy: oneOf(...SCHEDULING_POLICIES),
  priorityAgingTokens: COUNT,
  watermark: { allowed: 'a number from 0 up to, but not including, 1', accepts: isFraction },
  penalties: FLAG,
  debug: { ...RECORD, allowed: '{ logits, steps, trace }' },
} satisfies Readonly<Record<keyof ServiceOptions, Check>>

const WORKER_CHECKS = {
  worker: { allowed: 'a Worker or a function that makes one', accepts: (value) => isWorker(value) },
  assets: { allowed: 'the URL of a folder', accepts: (value) => typeof value === 'string' || value instanceof URL },
} satisfies Readonly<Record<keyof WorkerOptions, Check>>

const PAGE_CHECKS = {
  ...WORKER_CHECKS,
  onProgress: CALLBACK,
  onStep: CALLBACK,
  signal: { allowed: 'an AbortSignal', accepts: (value) => value instanceof AbortSignal },
} satisfies Readonly<Record<Exclude<keyof LoadOptions, keyof ServiceOptions>, Check>>

const SPECULATIVE_CHECKS: Checks = {
  method: oneOf(...SPECULATIVE_METHODS),
  numSpeculativeTokens: { allowed: 'an integer from 0 to 4', accepts: (value) => isInteger(value, 0) && value <= 4 },
  adaptive: FLAG,
  draftVocabSize: COUNT,
  draftVocabFile: { allowed: 'a URL', accepts: (value) => typeof value === 'string' && value !== '' },
  promptLookupMin: COUNT,
  promptLookupMax: COUNT,
}

const SPECULATIVE_NEEDS = ['method', 'numSpeculativeTokens']

const DEBUG_CHECKS: Checks = { logits: oneOf('digest', 'full'), steps: FLAG, trace: FLAG }

/**
 * The part of `options` that goes to the worker, without missing values.
 * @throws INVALID_OPTION naming the option, its value and what is allowed; BACKEND_UNAVAILABLE for a backend of another version
 */
export function checkLoadOptions(options: LoadOptions): ServiceOptions {
  if (!isRecord(options)) throw invalid('options', options, 'an object')
  checkRecord('', options, { ...SERVICE_CHECKS, ...PAGE_CHECKS })
  if (options.speculative) {
    checkRecord('speculative.', options.speculative, SPECULATIVE_CHECKS)
    requireFields('speculative.', options.speculative, SPECULATIVE_CHECKS, SPECULATIVE_NEEDS)
  }
  if (options.debug) checkRecord('debug.', options.debug, DEBUG_CHECKS)
  if (options.backend === 'wasm') {
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      "backend 'wasm' is not in this version, which runs on WebGPU alone: use 'webgpu' or 'auto'",
      { option: 'backend', value: 'wasm' },
    )
  }
  const given = Object.entries(options).filter(([key, value]) => key in SERVICE_CHECKS && value !== undefined)
  return Object.fromEntries(given)
}

/** @throws INVALID_OPTION naming the option, its value and what is allowed */
export function checkWorkerOptions(options: WorkerOptions): void {
  if (!isRecord(options)) throw invalid('options', options, 'an object')
  checkRecord('', options, WORKER_CHECKS)
}

/** A missing value is as good as a missing key. */
function checkRecord(path: string, record: object, checks: Checks): void {
  for (const [key, value] of Object.entries(record)) {
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined
    if (!check) {
      throw new WeirError(
        'INVALID_OPTION',
        `unknown option ${path}${key}: the options are ${Object.keys(checks).join(', ')}`,
        { option: `${path}${key}` },
      )
    }
    if (value !== undefined && !check.accepts(value)) throw invalid(`${path}${key}`, value, check.allowed)
  }
}

function requireFields(path: string, record: object, checks: Checks, needed: readonly string[]): void {
  const fields = new Map(Object.entries(record))
  for (const key of needed) {
    if (fields.get(key) === undefined) throw invalid(`${path}${key}`, undefined, checks[key]?.allowed ?? 'given')
  }
}

function invalid(option: string, value: unknown, allowed: string): WeirError {
  const shown = describe(value)
  return new WeirError('INVALID_OPTION', `${option} must be ${allowed}, not ${shown}`, { option, value: shown })
}

function describe(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

function oneOf(...values: readonly string[]): Check {
  return {
    allowed: values.map((value) => `'${value}'`).join(' or '),
    accepts: (value) => typeof value === 'string' && values.includes(value),
  }
}

function isFraction(value: unknown): boolean {
  return typeof value === 'number' && value >= 0 && value < 1
}

/** Not by class: it may be of another realm. */
function isWorker(value: unknown): boolean {
  return typeof value === 'function' || (isRecord(value) && 'postMessage' in value && 'terminate' in value)
}

function isInteger(value: unknown, least: number): value is number {
  return Number.isSafeInteger(value) && Number(value) >= least
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
