/** Hostile GGUF files: whatever the bytes, a typed error or a header no larger than its bytes, and no wish without end. */

import { describe, expect, it } from 'vitest'
import { type GgufHeader, MAX_HEADER_BYTES, parseGguf } from '../../src/loader/gguf.ts'
import { ggufConfig } from '../../src/models/ggufConfig.ts'
import { configTensors } from '../../src/models/ggufRope.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import { GGUF_FIXTURES } from '../helpers/folderFetch.ts'
import { FULL } from '../helpers/full.ts'
import { ggufFixture, ggufPrefix, TYPE, writeGguf } from '../helpers/ggufWriter.ts'
import { seededRandom } from '../helpers/random.ts'

/** Of each of the four kinds. */
const CASES = FULL ? 2500 : 250

/** The header of a fixture, and a short file with every kind of value: few of its bytes may change without notice. */
const SEEDS: readonly Uint8Array[] = [
  ...GGUF_FIXTURES.map((name) => ggufFixture(name).file.slice(0, 20_000)),
  writeGguf({
    metadata: {
      'general.architecture': ['string', 'llama'],
      a: ['u64', [1, 2, 3]],
      b: ['string', ['x', '', 'yz']],
      c: ['bool', true],
      d: ['f64', [0.5]],
    },
    tensors: [
      { name: 'p', shape: [2, 32], type: 8, offset: 0 },
      { name: 'q', shape: [3], type: 0, offset: 96 },
    ],
    data: new Uint8Array(128),
  }),
]

type Random = (limit: number) => number

const KINDS: Readonly<Record<string, (random: Random) => Uint8Array>> = {
  'random bytes after a true start': (random) => {
    const bytes = Uint8Array.from({ length: random(600) }, () => random(random(2) ? 256 : 16))
    return ggufPrefix(random(4), random(4)).raw(bytes).bytes
  },
  'a cut header': (random) => {
    const seed = SEEDS[random(SEEDS.length)] ?? new Uint8Array()
    return seed.slice(0, random(random(2) ? 400 : seed.length))
  },
  'flipped bits': (random) => {
    const file = (SEEDS[random(SEEDS.length)] ?? new Uint8Array()).slice()
    // Half of the time where counts, keys and lengths are.
    const range = random(2) ? Math.min(400, file.length) : file.length
    for (let flips = 1 + random(8); flips > 0; flips--) {
      const at = random(range)
      file[at] = (file[at] ?? 0) ^ (1 << random(8))
    }
    return file
  },
  'hostile counts': (random) => {
    const count = () => BigInt(random(3)) * 2n ** BigInt(random(64)) + BigInt(random(3))
    const u64 = () => count() % 2n ** 64n
    const writer = ggufPrefix(random(2) ? u64() : random(3), random(2) ? u64() : 1 + random(3))
    for (let i = 0; i < 3; i++) {
      if (random(4)) writer.string(`k${i}`)
      else writer.u64(u64())
      writer
        .u32(random(2) ? TYPE.array : random(14))
        .u32(random(14))
        .u64(u64())
    }
    return writer.raw(new Uint8Array(random(200))).bytes
  },
}

/** Bytes that a header's values take, those of strings as UTF-8. */
function heldBytes({ metadata, tensors }: GgufHeader): number {
  const utf8 = new TextEncoder()
  const text = (string: string) => utf8.encode(string).length
  let bytes = 0
  for (const [key, value] of metadata) {
    bytes += text(key)
    if (typeof value === 'string') bytes += text(value)
    else if (typeof value !== 'object') bytes += 1
    else if (ArrayBuffer.isView(value)) bytes += value.buffer.byteLength
    else for (const string of value) bytes += 8 + text(string)
  }
  for (const { name, shape } of tensors) bytes += text(name) + 8 * shape.length
  return bytes
}

/** @returns how it ended */
function load(file: Uint8Array, fileBytes: number | undefined): string {
  try {
    const header = parseGguf('model.gguf', file, fileBytes)
    if ('needs' in header) {
      expect(header.needs).toBeGreaterThan(file.length)
      expect(header.needs).toBeLessThanOrEqual(Math.min(fileBytes ?? MAX_HEADER_BYTES, MAX_HEADER_BYTES))
      return 'needs'
    }
    expect(heldBytes(header)).toBeLessThanOrEqual(file.length)
    const values = configTensors(header.tensors).map((name) => [name, Float32Array.of(1, 1)] as const)
    ggufConfig(header.metadata, header.tensors, new Map(values))
    return 'header'
  } catch (thrown) {
    if (!(thrown instanceof WeirError) || thrown.code !== 'MODEL_FORMAT') throw thrown
    expect(thrown.message.length).toBeLessThan(1500)
    return thrown.message.includes('GGUF metadata') || thrown.message.startsWith('GGUF: ') ? 'config' : 'refused'
  }
}

describe('fuzz', () => {
  it.each(Object.keys(KINDS))(`%s: typed errors alone, ${CASES} files`, (kind) => {
    const next = seededRandom(kind.length)
    const random: Random = (limit) => Math.floor(next() * limit)
    const ends = new Map<string, number>()
    for (let i = 0; i < CASES; i++) {
      const file = KINDS[kind]?.(random) ?? new Uint8Array()
      const end = load(file, [undefined, file.length, file.length + random(1e6)][random(3)])
      ends.set(end, (ends.get(end) ?? 0) + 1)
    }
    // The cases are worth something where they do not all end alike.
    expect(ends.size).toBeGreaterThan(1)
    expect(ends.get('refused')).toBeGreaterThan(CASES / 20)
  })
})
