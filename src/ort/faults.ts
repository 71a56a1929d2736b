/** ONNX Runtime's errors as ours. It throws plain errors, so they are told apart by their messages. */

import { WeirError } from '../protocol/errors.ts'

/** The messages of an allocation that failed in C++, in the WebAssembly heap and in JavaScript. */
const NO_MEMORY =
  /bad_alloc|bad allocation|out of memory|failed to allocate|memory access out of bounds|cannot enlarge memory|aborted\(oom\)/i

export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/**
 * @param action what ONNX Runtime was asked to do, as in "ONNX Runtime cannot …"
 * @returns OUT_OF_MEMORY where memory ran out, else INTERNAL; a WeirError as it is
 */
export function ortError(thrown: unknown, action: string): WeirError {
  if (thrown instanceof WeirError) return thrown
  const message = messageOf(thrown)
  if (!(thrown instanceof RangeError) && !NO_MEMORY.test(message)) {
    return new WeirError('INTERNAL', `ONNX Runtime cannot ${action}: ${message}`, {}, { cause: thrown })
  }
  return new WeirError(
    'OUT_OF_MEMORY',
    `no memory to ${action} (${message}): on backend 'wasm' weights lie in a memory of at most 4 GiB, of which ` +
      `quantization 'w8a8' needs a quarter; else take a smaller model, lower maxNumBatchedTokens, or set backend to 'webgpu' where there is a GPU`,
    {},
    { cause: thrown },
  )
}
