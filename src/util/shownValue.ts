/** Formats a caller's value for an error message: short, for any value, without calling any of the value's own methods. */

/** characters of a string */
const MOST_CHARACTERS = 60
/** entries of an array or an object */
const MOST_ENTRIES = 8

export function shownValue(value: unknown): string {
  if (Array.isArray(value)) return `[${entriesOf(value.length, (i) => brief(value[i]))}]`
  if (typeof value !== 'object' || value === null || typeName(value) !== 'Object') return brief(value)
  const entries = Object.entries(value)
  return `{ ${entriesOf(entries.length, (i) => `${entries[i]?.[0]}: ${brief(entries[i]?.[1])}`)} }`
}

/** The kind of an object ('Object', 'Map', 'AbortController'), also for objects of another realm. */
export function typeName(value: object): string {
  return Object.prototype.toString.call(value).slice(8, -1)
}

function entriesOf(count: number, entry: (index: number) => string): string {
  const some = Array.from({ length: Math.min(count, MOST_ENTRIES) }, (_, index) => entry(index))
  return [...some, ...(count > MOST_ENTRIES ? [`… ${count} entries`] : [])].join(', ')
}

function brief(value: unknown): string {
  if (typeof value === 'string') {
    return value.length > MOST_CHARACTERS ? `'${value.slice(0, MOST_CHARACTERS)}…'` : `'${value}'`
  }
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? 'a function' : String(value)
  const name = typeName(value)
  return name === 'Object' ? 'an object' : `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`
}
