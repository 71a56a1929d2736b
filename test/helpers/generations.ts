/** Reading a Generation in tests. */

import type { Generation } from '../../src/api/generation.ts'
import type { WeirError } from '../../src/protocol/errors.ts'
import type { GenerationPart } from '../../src/protocol/request.ts'
import { errorOf } from './connect.ts'

export async function partsOf(generation: Generation): Promise<GenerationPart[]> {
  const parts: GenerationPart[] = []
  for await (const part of generation) parts.push(part)
  return parts
}

/** The parts up to the error that iteration throws. */
export async function failedParts(generation: Generation): Promise<{ parts: GenerationPart[]; error: WeirError }> {
  const parts: GenerationPart[] = []
  const error = await errorOf(
    (async () => {
      for await (const part of generation) parts.push(part)
    })(),
  )
  return { parts, error }
}

export function textOf(parts: readonly GenerationPart[]): string {
  return parts.map(({ text }) => text).join('')
}

export async function first(generation: Generation): Promise<void> {
  await generation[Symbol.asyncIterator]().next()
}
