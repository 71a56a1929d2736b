/**
 * The rotation table that every backend reads. WGSL's `cos` is off by 2e-4 at large arguments on some drivers, and WebAssembly has
 * none, so cosines and sines are computed here in float64 and rounded once. It must never know the position of a request.
 */

/**
 * Cosine and sine of position · frequency, times `factorOf` the position.
 * @param frequencies [pairs]
 * @returns [positions][pairs][2], (cos, sin)
 */
export function ropeTable(
  frequencies: readonly number[],
  positions: number,
  factorOf: (position: number) => number = () => 1,
): Float32Array<ArrayBuffer> {
  const pairs = frequencies.length
  const table = new Float32Array(positions * pairs * 2)
  for (let position = 0; position < positions; position++) {
    const factor = factorOf(position)
    for (const [i, frequency] of frequencies.entries()) {
      const angle = position * frequency
      table[(position * pairs + i) * 2] = Math.cos(angle) * factor
      table[(position * pairs + i) * 2 + 1] = Math.sin(angle) * factor
    }
  }
  return table
}
