/** Changes of a trace of which only its meaning can tell. */

import fc from 'fast-check'

/** A trace with other lines between its first one and its count. */
export function withLines(trace: string, change: (lines: readonly string[]) => readonly string[]): string {
  const lines = change(trace.split('\n').slice(0, -2))
  return `${[...lines, JSON.stringify({ lines: lines.length })].join('\n')}\n`
}

function numberAt(text: string, place: number, value: string): string {
  const numbers = [...text.matchAll(/-?\d+(\.\d+)?/g)]
  const found = numbers[Math.floor(place * numbers.length)]
  if (!found) return text
  return text.slice(0, found.index) + value + text.slice(found.index + found[0].length)
}

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const values = fc.oneof(
  fc.integer({ min: -2, max: 40 }).map(String),
  fc.constantFrom(
    '1e9',
    '4294967296',
    '1e308',
    '0.5',
    'null',
    '"1"',
    '[]',
    '{}',
    'true',
    '-0',
    '"\\ud800"',
    '__proto__',
  ),
)

/** A change of a trace whose count of lines is right again, so that only its meaning can tell. */
export const traceChanges: fc.Arbitrary<(trace: string) => string> = fc.oneof(
  place.map((at) => (trace: string) => withLines(trace, (lines) => lines.slice(0, index(lines, at)))),
  place.map((at) => (trace: string) => withLines(trace, (lines) => lines.toSpliced(index(lines, at), 1))),
  fc.tuple(place, place).map(
    ([from, to]) =>
      (trace: string) =>
        withLines(trace, (lines) => swapped(lines, from, to)),
  ),
  fc.tuple(place, place).map(
    ([from, to]) =>
      (trace: string) =>
        withLines(trace, (lines) => lines.toSpliced(index(lines, to), 0, lines[index(lines, from)] ?? '')),
  ),
  fc.tuple(place, values).map(
    ([at, value]) =>
      (trace: string) =>
        numberAt(trace, at, value),
  ),
  // Whichever line it is in, and not mostly in long prompts.
  fc.tuple(place, place, values).map(
    ([line, at, value]) =>
      (trace: string) =>
        withLines(trace, (lines) => lines.map((one, i) => (i === index(lines, line) ? numberAt(one, at, value) : one))),
  ),
)

function index(lines: readonly string[], at: number): number {
  return Math.floor(at * lines.length)
}

function swapped(lines: readonly string[], from: number, to: number): readonly string[] {
  const [a, b] = [index(lines, from), index(lines, to)]
  return lines.with(a, lines[b] ?? '').with(b, lines[a] ?? '')
}
