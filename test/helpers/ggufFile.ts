/** GGUF files of the fixtures, and what was built from scratch (ggufWriter.ts). */

import { readdirSync, readFileSync } from 'node:fs'
import { type GgufHeader, parseGguf } from '../../src/loader/gguf.ts'

export * from './ggufWriter.ts'

const FIXTURES = new URL('../fixtures/', import.meta.url)

/** Names of the fixtures that are GGUF files. */
export const GGUF_FIXTURES: readonly string[] = readdirSync(FIXTURES).filter((name) => name.includes('-gguf-'))

export interface GgufFixture {
  readonly file: Uint8Array
  readonly golden: {
    /** the config.json that the file was made from */
    readonly config: Readonly<Record<string, unknown>>
    /** name, shape, sha256 of the values, the first four, type */
    readonly dequant: readonly (readonly [string, number[], string, number[], string])[]
  }
}

export function ggufFixture(name: string): GgufFixture {
  const folder = new URL(`${name}/`, FIXTURES)
  const golden = JSON.parse(readFileSync(new URL('golden.json', folder), 'utf8'))
  return { file: new Uint8Array(readFileSync(new URL('model.gguf', folder))), golden }
}

/** The header of a file that is whole. */
export function parsedGguf(file: Uint8Array): GgufHeader {
  const header = parseGguf('model.gguf', file, file.length)
  if ('needs' in header) throw new Error(`a whole file needs ${header.needs} bytes`)
  return header
}
