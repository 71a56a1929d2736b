/** A GGUF file, read naively: the oracle of tests. (Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) */

export interface GgufTensor {
  readonly name: string
  /** outermost first: [rows, inputs] */
  readonly shape: readonly number[]
  /** enum ggml_type */
  readonly type: number
  /** from the tensor's first byte to the end of the file */
  readonly data: Uint8Array
}

/** Bytes of a value of metadata by its type; strings (8) and arrays (9) have no fixed size. */
const SIZES: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 }

export function readGguf(file: Uint8Array): ReadonlyMap<string, GgufTensor> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  let at = 8
  const u32 = (): number => {
    at += 4
    return view.getUint32(at - 4, true)
  }
  const u64 = (): number => {
    at += 8
    return Number(view.getBigUint64(at - 8, true))
  }
  const text = (): string => {
    const length = u64()
    at += length
    return new TextDecoder().decode(file.subarray(at - length, at))
  }
  const skip = (type: number): void => {
    if (type === 8) text()
    else if (type === 9) {
      const item = u32()
      for (let n = u64(); n > 0; n--) skip(item)
    } else at += SIZES[type] ?? Number.NaN
  }

  const tensors = u64()
  let alignment = 32
  for (let keys = u64(); keys > 0; keys--) {
    const key = text()
    const type = u32()
    if (key === 'general.alignment') alignment = view.getUint32(at, true)
    skip(type)
  }
  const entries = Array.from({ length: tensors }, () => {
    const name = text()
    const shape = Array.from({ length: u32() }, u64).reverse()
    return { name, shape, type: u32(), offset: u64() }
  })
  const data = Math.ceil(at / alignment) * alignment
  return new Map(
    entries.map(({ offset, ...tensor }) => [tensor.name, { ...tensor, data: file.subarray(data + offset) }]),
  )
}
