/** Arithmetic and invariants shared by every room. */

/** Throws unless `condition`. For internal invariants only, never to check a caller's input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant: ${message}`)
}

/** ⌈a / b⌉ of non-negative integers. */
export function cdiv(a: number, b: number): number {
  return Math.ceil(a / b)
}

/** The smallest multiple of `alignment` that is at least `value`. */
export function alignTo(value: number, alignment: number): number {
  return cdiv(value, alignment) * alignment
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}

/** `array[index]`; throws if the index is out of range. */
export function at<T>(array: { readonly length: number; readonly [index: number]: T }, index: number): T {
  const value = array[index]
  if (value === undefined) throw new Error(`invariant: index ${index} outside 0…${array.length - 1}`)
  return value
}
