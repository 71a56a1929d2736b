/** How a digest of logits is written. */

/** The 64 bits of a digest as 16 hex digits. */
export function digestHex(low: number, high: number): string {
  return [high, low].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
}
