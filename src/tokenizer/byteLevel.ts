/**
 * GPT-2's mapping of bytes to printable characters, used by byte-level BPE vocabularies (openai/gpt-2, encoder.py,
 * `bytes_to_unicode`). It must never know a vocabulary.
 */

/** Character to byte, for all 256 bytes. */
const BYTE_OF: ReadonlyMap<string, number> = byteTable()

/** The characters of all 256 bytes. */
export const BYTE_CHARACTERS: readonly string[] = [...BYTE_OF.keys()]

/** Names of byte-fallback tokens: `<0x00>` to `<0xFF>`. */
export const BYTE_TOKENS: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
)

function byteTable(): Map<string, number> {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)
  const table = new Map<string, number>()
  let next = 256
  for (let byte = 0; byte < 256; byte++) table.set(String.fromCharCode(printable(byte) ? byte : next++), byte)
  return table
}

/** The bytes of a token; a token with a character outside the mapping has its own UTF-8 bytes, as in tokenizers (Rust). */
export function bytesOfToken(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length)
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF.get(token.charAt(i))
    if (byte === undefined) return new TextEncoder().encode(token)
    bytes[i] = byte
  }
  return bytes
}
