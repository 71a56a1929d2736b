/** Bytes as little-endian words, wherever they begin. It must never know what they mean. */

/** Four bytes from half `index` on. */
export function wordAt(halves: Uint16Array, index: number): number {
  return (halves[index] as number) | ((halves[index + 1] as number) << 16)
}

/** The same bytes as 16-bit words; a copy where they begin at an odd offset. */
export function alignedHalves(bytes: Uint8Array): Uint16Array {
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice()
  return new Uint16Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 2)
}

/** The same bytes as 32-bit words; a copy where they do not begin on the border of a word. */
export function alignedWords(bytes: Uint8Array): Uint32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
}
