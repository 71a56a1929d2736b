/** Output of the benchmarks: medians, ratios, tables, files. */

import { mkdirSync, writeFileSync } from 'node:fs'

const FOLDER = 'out/bench'

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[middle - 1] ?? Number.NaN, sorted[middle] ?? Number.NaN]
  return sorted.length % 2 ? high : (low + high) / 2
}

/** A geometric mean with its 95 % interval. */
export interface Ratio {
  readonly mean: number
  readonly low: number
  readonly high: number
}

/** Student's t at 97.5 % for 1…19 degrees of freedom; the last value, used for more, is slightly conservative. */
const T_SMALL = [
  12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.2, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.1, 2.09,
]

/** The geometric mean of ratios, with its 95 % interval by Student's t on their logarithms. */
export function ratio(values: readonly number[]): Ratio {
  const logs = values.map(Math.log)
  const mean = logs.reduce((sum, value) => sum + value, 0) / logs.length
  const variance = logs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, logs.length - 1)
  const half = (T_SMALL[logs.length - 2] ?? 2.09) * Math.sqrt(variance / logs.length)
  return { mean: Math.exp(mean), low: Math.exp(mean - half), high: Math.exp(mean + half) }
}

/** Prints a table, the first column aligned left and the others right. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  for (const row of all) {
    console.log(
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join('  '),
    )
  }
}

/** Writes an output file and prints its path. */
export function writeFigure(name: string, content: string): void {
  mkdirSync(FOLDER, { recursive: true })
  writeFileSync(`${FOLDER}/${name}`, content)
  console.log(`wrote ${FOLDER}/${name}`)
}
