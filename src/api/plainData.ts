/**
 * What a page passes, read once into plain data. It may be a proxy of a framework (Vue, MobX), which no worker can be sent, or
 * change afterwards. It must never know what a field means.
 */

import { shownValue, typeName } from '../util/shownValue.ts'

/** Arrays and objects inside one another, at most. */
const MOST_DEPTH = 4

/**
 * The fields of an object, each read once; null is as good as missing.
 * @param refuse says what was found in its place; throws
 */
export function readFields(value: unknown, refuse: (found: string) => never): Record<string, unknown> {
  if (value === null || value === undefined) return {}
  if (!isObject(value)) return refuse(shownValue(value))
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null && field !== undefined))
}

/**
 * A copy that can be sent to a worker.
 * @param refuse says which part cannot be copied; throws
 */
export function plainData(value: unknown, refuse: (found: string) => never, depth = 0): unknown {
  if (typeof value === 'function' || typeof value === 'symbol') return refuse(shownValue(value))
  if (typeof value !== 'object' || value === null) return value
  if (depth === MOST_DEPTH) return refuse('objects nested so deeply')
  const copy = (part: unknown) => plainData(part, refuse, depth + 1)
  if (Array.isArray(value)) return Array.from(value, copy)
  if (isTypedArray(value)) return Array.from<unknown>(value)
  if (!isObject(value)) return refuse(shownValue(value))
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, copy(part)]))
}

/** An object with fields of its own: a Map, say, has them elsewhere. */
function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && typeName(value) === 'Object'
}

function isTypedArray(value: object): value is Iterable<unknown> & object {
  return ArrayBuffer.isView(value) && Symbol.iterator in value
}
