/**
 * A writer of protocol buffers' wire format: varints, 32-bit floats, byte strings and nested messages. It must never know a
 * message of ONNX.
 *
 * https://protobuf.dev/programming-guides/encoding/
 */

const VARINT = 0
const BYTES = 2
const FIXED32 = 5

const utf8 = new TextEncoder()

/** One message, written field by field. Fields may repeat and come in any order. */
export class ProtoWriter {
  readonly #parts: Uint8Array[] = []
  #size = 0

  /** int32, int64, enum. @param value an integer; negative ones take ten bytes, as the format asks */
  int(field: number, value: number): this {
    this.#tag(field, VARINT)
    return this.#varint(BigInt(value))
  }

  float(field: number, value: number): this {
    this.#tag(field, FIXED32)
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    return this.#append(bytes)
  }

  string(field: number, value: string): this {
    return this.bytes(field, utf8.encode(value))
  }

  bytes(field: number, value: Uint8Array): this {
    this.#tag(field, BYTES)
    this.#varint(BigInt(value.length))
    return this.#append(value)
  }

  message(field: number, message: ProtoWriter): this {
    return this.bytes(field, message.finish())
  }

  finish(): Uint8Array {
    const message = new Uint8Array(this.#size)
    let end = 0
    for (const part of this.#parts) {
      message.set(part, end)
      end += part.length
    }
    return message
  }

  #tag(field: number, wireType: number): void {
    this.#varint(BigInt(field * 8 + wireType))
  }

  #varint(value: bigint): this {
    const bytes: number[] = []
    let rest = BigInt.asUintN(64, value)
    while (rest > 127n) {
      bytes.push(Number(rest & 127n) | 128)
      rest >>= 7n
    }
    bytes.push(Number(rest))
    return this.#append(Uint8Array.from(bytes))
  }

  #append(bytes: Uint8Array): this {
    this.#parts.push(bytes)
    this.#size += bytes.length
    return this
  }
}
