/** Checks of the values of a trace's lines. An error names the field in a few words; the caller adds the line number. */

import { WeirError } from '../../protocol/errors.ts'

/** @throws TRACE_FORMAT, always */
export function malformed(message: string): never {
  throw new WeirError('TRACE_FORMAT', message)
}

/** @returns the value of a line of JSON */
export function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return malformed('it is not JSON, so the trace is cut or damaged')
  }
}

/** An array with a number of values in a range. */
export function tuple(value: unknown, what: string, least: number, most = least): readonly unknown[] {
  if (Array.isArray(value) && value.length >= least && value.length <= most) return value
  return malformed(`${what} must be an array of ${least === most ? least : `${least} to ${most}`} values`)
}

export function record(value: unknown, what: string): ReadonlyMap<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return malformed(`${what} must be an object`)
  return new Map(Object.entries(value))
}

/** What a later version may know could change every plan. */
export function onlyKeys(given: ReadonlyMap<string, unknown>, what: string, keys: readonly string[]): void {
  for (const key of given.keys()) if (!keys.includes(key)) malformed(`${what}: unknown key ${JSON.stringify(key)}`)
}

export function finite(value: unknown, what: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value
  return malformed(`${what} must be a number`)
}

export function integer(value: unknown, what: string, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  return malformed(`${what} must be an integer from ${least} to ${most}, not ${shown(value)}`)
}

export function text(value: unknown, what: string): string {
  return typeof value === 'string' ? value : malformed(`${what} must be a string`)
}

export function flag(value: unknown, what: string): boolean {
  return typeof value === 'boolean' ? value : malformed(`${what} must be true or false`)
}

export function oneOf<T extends string>(value: unknown, what: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value)
  return found ?? malformed(`${what} must be one of ${allowed.join(', ')}, not ${shown(value)}`)
}

/** Ids are checked one by one where it is known what they may be. */
export function numbers(value: unknown, what: string): readonly number[] {
  if (!Array.isArray(value)) return malformed(`${what} must be an array`)
  return value.map((one) => finite(one, what))
}

function shown(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, 40)
}
