/**
 * Rows of a matrix as 8-bit integers with one scale each: w ≈ scale · q, with q from -127 to 127. It must never know where a row
 * comes from or goes.
 */

const LARGEST = 127

/**
 * Writes round(w / scale), where scale is the largest magnitude of the row by 127, rounded to f32. A row of zeros has scale 0; the
 * scale of a row with a value that is not finite is not finite either.
 * @param row [K]
 * @param out [K]
 * @returns the scale
 */
export function quantiseRow(row: Float32Array, out: Int8Array): number {
  let largest = 0
  for (let i = 0; i < row.length; i++) {
    const magnitude = Math.abs(row[i] as number)
    if (!(magnitude <= largest)) largest = magnitude // a NaN too, and nothing is above it
    if (Number.isNaN(largest)) break
  }
  const scale = Math.fround(largest / LARGEST)
  if (scale === 0 || !Number.isFinite(scale)) {
    out.fill(0)
    return scale
  }
  for (let i = 0; i < row.length; i++) {
    // Beyond the range only where the scale is subnormal, and so rounded coarsely.
    out[i] = Math.max(-LARGEST, Math.min(LARGEST, Math.round((row[i] as number) / scale)))
  }
  return scale
}
