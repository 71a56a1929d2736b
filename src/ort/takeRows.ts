/** Copies rows. */

/** Some rows of [rows][width], one after the other. */
export function takeRows(values: Float32Array, rows: Int32Array, width: number): Float32Array {
  const taken = new Float32Array(rows.length * width)
  for (const [index, row] of rows.entries()) taken.set(values.subarray(row * width, (row + 1) * width), index * width)
  return taken
}
