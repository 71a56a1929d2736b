/**
 * The rotation table that every backend reads. WGSL's `cos` is off by 2e-4 at large arguments on some drivers, and WebAssembly has
 * none, so cosines and sines are computed here in float64 and rounded once. It must never know the position of a request.
 */

/**
 * Cosine and sine of position · theta^(-2i / headDim): Su et al. 2021 (RoFormer), halves paired as in GPT-NeoX.
 * @returns [positions][headDim / 2][2], (cos, sin)
 */
export function ropeTable(theta: number, headDim: number, positions: number): Float32Array<ArrayBuffer> {
  const half = headDim / 2
  const table = new Float32Array(positions * headDim)
  for (let i = 0; i < half; i++) {
    const frequency = theta ** (-i / half)
    for (let position = 0; position < positions; position++) {
      const angle = position * frequency
      table[(position * half + i) * 2] = Math.cos(angle)
      table[(position * half + i) * 2 + 1] = Math.sin(angle)
    }
  }
  return table
}
