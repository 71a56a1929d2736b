/**
 * The lines of a trace, read: each is checked for its own shape, whatever came before it. What may follow what, and which ids and
 * counts are possible, is the replay's business. A plan is not taken apart: the replay writes its own and compares.
 */

import type { RequestSpec } from '../../core/request.ts'
import { ERROR_CODES, type ErrorData, type ErrorDetails } from '../../protocol/errors.ts'
import type { StepTimes } from '../../protocol/stepRecord.ts'
import { finite, integer, malformed, numbers, oneOf, onlyKeys, parseJson, record, text, tuple } from './traceFields.ts'
import { acceptedOf, type EndReason, type RowsOutcome } from './traceLines.ts'
import { readSampling } from './traceSampling.ts'

export type TraceLine =
  | { readonly kind: 'add'; readonly spec: RequestSpec }
  | { readonly kind: 'end'; readonly id: number; readonly why: EndReason }
  | { readonly kind: 'reset' }
  | { readonly kind: 'plan' }
  | { readonly kind: 'rows'; readonly outcomes: readonly RowsOutcome[] }
  | { readonly kind: 'step'; readonly proposed: number; readonly committed: number; readonly ms: StepTimes }
  | { readonly kind: 'fatal'; readonly error: ErrorData }

const END_REASONS: readonly EndReason[] = ['stop', 'length', 'abort', ...ERROR_CODES]
const MAX_COUNT = 2 ** 31 - 1

/**
 * The lines between header and footer.
 * @throws TRACE_FORMAT when the text was cut anywhere
 */
export function bodyLines(trace: string): readonly string[] {
  const lines = trace.split('\n')
  const [footer, end] = lines.splice(-2)
  if (end !== '' || footer !== JSON.stringify({ lines: lines.length })) {
    return malformed(`the trace is cut: its last line must count the ${lines.length} lines before it`)
  }
  return lines.slice(1)
}

/** @throws TRACE_FORMAT */
export function readLine(line: string): TraceLine {
  const [kind, ...values] = tuple(parseJson(line), 'a line', 1, Number.POSITIVE_INFINITY)
  switch (kind) {
    case 'add':
      return { kind, spec: readSpec(tuple(values, 'add', 7)) }
    case 'end': {
      const [id, why] = tuple(values, 'end', 2)
      return { kind, id: readId(id), why: oneOf(why, 'the reason', END_REASONS) }
    }
    case 'reset':
      tuple(values, 'reset', 0)
      return { kind }
    case 'plan':
      return { kind }
    case 'rows':
      return { kind, outcomes: values.map(readOutcome) }
    case 'step': {
      const [proposed, committed, ms] = tuple(values, 'step', 3)
      return {
        kind,
        proposed: count(proposed, 'proposed'),
        committed: count(committed, 'committed'),
        ms: readTimes(ms),
      }
    }
    case 'fatal':
      return { kind, error: readError(tuple(values, 'fatal', 3)) }
    default:
      return malformed(`unknown kind of line ${JSON.stringify(kind)}`)
  }
}

function readSpec(values: readonly unknown[]): RequestSpec {
  const [id, maxTotal, priority, cacheSalt, maxDrafts, sampling, promptTokenIds] = values
  return {
    id: readId(id),
    maxTotal: count(maxTotal, 'maxTotal'),
    priority: finite(priority, 'priority'),
    cacheSalt: cacheSalt === null ? undefined : text(cacheSalt, 'cacheSalt'),
    maxDrafts: maxDrafts === null ? undefined : count(maxDrafts, 'maxDrafts'),
    sampling: readSampling(sampling),
    promptTokenIds: numbers(promptTokenIds, 'the prompt'),
  }
}

function readOutcome(value: unknown): RowsOutcome {
  if (Array.isArray(value)) {
    const ids = numbers(value, 'committed ids')
    return { accepted: acceptedOf(ids), ids }
  }
  const given = record(value, 'an outcome')
  onlyKeys(given, 'an outcome', ['accepted', 'ids'])
  const ids = given.get('ids')
  return {
    accepted: count(given.get('accepted'), 'accepted'),
    ids: ids === undefined ? undefined : numbers(ids, 'committed ids'),
  }
}

function readTimes(value: unknown): StepTimes {
  const times = tuple(value, 'times', 4, 6)
  if (times.length === 5) malformed('times are four, and two on the GPU or none')
  const [schedule, encode, wait, update, gpu, draft] = times
  return {
    schedule: finite(schedule, 'schedule'),
    encode: finite(encode, 'encode'),
    wait: finite(wait, 'wait'),
    update: finite(update, 'update'),
    ...(gpu !== undefined && { gpu: finite(gpu, 'gpu') }),
    ...(draft !== undefined && { draft: finite(draft, 'draft') }),
  }
}

function readError([code, message, details]: readonly unknown[]): ErrorData {
  const found: Record<string, ErrorDetails[string]> = {}
  for (const [key, value] of record(details, 'details')) {
    const plain = typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
    found[key] = plain ? value : malformed(`detail ${key} must be a string, a number or true or false`)
  }
  return { code: oneOf(code, 'the code', ERROR_CODES), message: text(message, 'the message'), details: found }
}

function readId(value: unknown): number {
  return integer(value, 'a request id', -MAX_COUNT, MAX_COUNT)
}

function count(value: unknown, what: string): number {
  return integer(value, what, 0, MAX_COUNT)
}
