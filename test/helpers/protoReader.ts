/** A plain reader of protocol buffers: the oracle of the encoder's tests. Numbers of a message's fields to their values in order. */

export type ProtoValue = bigint | Uint8Array

export type ProtoFields = ReadonlyMap<number, readonly ProtoValue[]>

/** Fixed 32-bit fields are given as their four bytes. Fails at a wire type that is unknown and at a message that ends early. */
export function readProto(bytes: Uint8Array): ProtoFields {
  const fields = new Map<number, ProtoValue[]>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) throw new Error('the message ends within a varint')
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new Error('the message ends within a field')
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const wireType = tag % 8
    const read = { 0: varint, 2: () => take(Number(varint())), 5: () => take(4) }[wireType]
    if (!read) throw new Error(`unknown wire type ${wireType}`)
    const field = Math.floor(tag / 8)
    fields.set(field, [...(fields.get(field) ?? []), read()])
  }
  return fields
}

/** All values of a field as messages. */
export function messages(fields: ProtoFields, field: number): ProtoFields[] {
  return (fields.get(field) ?? []).map((value) => readProto(value as Uint8Array))
}

export function strings(fields: ProtoFields, field: number): string[] {
  return (fields.get(field) ?? []).map((value) => new TextDecoder().decode(value as Uint8Array))
}

/** Integers as int64. */
export function integers(fields: ProtoFields, field: number): number[] {
  return (fields.get(field) ?? []).map((value) => Number(BigInt.asIntN(64, value as bigint)))
}

export function floats(fields: ProtoFields, field: number): number[] {
  return (fields.get(field) ?? []).map((value) => {
    const bytes = value as Uint8Array
    return new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true)
  })
}
