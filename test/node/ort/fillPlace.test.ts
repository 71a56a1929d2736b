/** Rows in their place in a session's file: any formats, chunks and rows of a matrix, against a slow definition of the whole file. */

import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { WeightTensor } from '../../../src/models/weightNames.ts'
import { fillPlace } from '../../../src/ort/fillPlace.ts'
import { WeightFile } from '../../../src/ort/weightFile.ts'
import { at, sum } from '../../../src/util/math.ts'
import { sliceRows } from '../../../src/weights/rowSlices.ts'
import { seededRandom } from '../../helpers/random.ts'
import { ALL_FORMATS, F32, fits } from '../../helpers/weightFormats.ts'
import { type RandomMatrix, randomMatrix } from '../../helpers/weights.ts'

const POISON = 0xa5

interface Matrix extends RandomMatrix {
  readonly name: string
}

/** A stack of matrices of equal rows, in formats that these can have; of one matrix perhaps only some rows. */
const stacks = fc
  .record({
    inputs: fc.constantFrom(1, 3, 20, 32, 96, 256),
    counts: fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 3 }),
    some: fc.boolean(),
    seed: fc.nat(1e6),
  })
  .map(({ inputs, counts, some, seed }) => {
    const random = seededRandom(seed)
    const formats = ALL_FORMATS.filter((format) => fits(format, inputs))
    const matrices = counts.slice(0, some ? 1 : 3).map((count, index): Matrix => {
      const format = at(formats, Math.floor(random() * formats.length))
      return { name: `matrix ${index}`, ...randomMatrix(format, seed + index, count, inputs) }
    })
    const all = Array.from({ length: at(counts, 0) }, (_, row) => row)
    const rows = some ? all.filter((row) => row === 0 || random() < 0.4) : undefined
    return { inputs, matrices, rows, chunk: () => 1 + Math.floor(random() * 70) }
  })

/** The stack's rows, as they should be in the file. */
function rowsOf(inputs: number, matrices: readonly Matrix[], rows: readonly number[] | undefined): number[][] {
  const all = matrices.flatMap(({ values }) =>
    Array.from({ length: values.length / inputs }, (_, row) => [...values.subarray(row * inputs, (row + 1) * inputs)]),
  )
  return rows ? rows.map((row) => at(all, row)) : all
}

function tensor({ name, rows }: Matrix, shape: readonly number[] = [rows.count, rows.inputs]): WeightTensor {
  return { part: 'model', layer: undefined, role: 'lmHead', name, shape }
}

/** The whole file after all rows have come, chunk by chunk; poisoned before. */
function filled(file: WeightFile, matrices: readonly Matrix[], chunk: () => number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(file.bytes).fill(POISON)
  for (const { name, rows } of matrices) {
    const places = file.places.filter(({ tensor }) => tensor === name)
    for (let first = 0; first < rows.count; ) {
      const count = Math.min(chunk(), rows.count - first)
      for (const place of places) fillPlace(bytes, place, first, sliceRows(rows, first, count))
      first += count
    }
  }
  return bytes
}

it('in f32 are the numbers that they stand for, row after row, beside a vector before and after them', () => {
  fc.assert(
    fc.property(stacks, ({ inputs, matrices, rows, chunk }) => {
      const vectors = ['before', 'after'].map((name, index): Matrix => ({ name, ...randomMatrix(F32, index, 1, 7) }))
      const file = new WeightFile()
      file.add([tensor(at(vectors, 0), [7])])
      file.add(
        matrices.map((each) => tensor(each)),
        rows,
      )
      file.add([tensor(at(vectors, 1), [7])])
      const expected = [at(vectors, 0).values, rowsOf(inputs, matrices, rows).flat(), at(vectors, 1).values]
      const bytes = filled(file, [...vectors, ...matrices], chunk)
      expect([...new Float32Array(bytes.buffer)]).toEqual(expected.flatMap((part) => [...part]))
    }),
    { seed: 16, numRuns: 60 },
  )
})

it('in 8 bits are columns, each quantised by its largest magnitude, with a scale for each, and nothing else is written', () => {
  fc.assert(
    fc.property(stacks, ({ inputs, matrices, rows, chunk }) => {
      const file = new WeightFile()
      file.addQuantised(
        matrices.map((each) => tensor(each)),
        rows,
      )
      const columns = rowsOf(inputs, matrices, rows)
      const expected = new Uint8Array(file.bytes).fill(POISON)
      const scales = columns.map((column) => Math.fround(Math.max(...column.map(Math.abs)) / 127))
      new Float32Array(expected.buffer).set(scales)
      const codes = new Int8Array(expected.buffer, 4 * columns.length)
      for (const [n, column] of columns.entries()) {
        for (const [k, value] of column.entries()) {
          codes[k * columns.length + n] = Math.round(value / (at(scales, n) || 1))
        }
      }
      expect(Buffer.compare(filled(file, matrices, chunk), expected)).toBe(0)
    }),
    { seed: 16, numRuns: 60 },
  )
})

it('are one place of one size for each tensor', () => {
  fc.assert(
    fc.property(stacks, ({ matrices, rows }) => {
      const file = new WeightFile()
      file.add(
        matrices.map((each) => tensor(each)),
        rows,
      )
      file.addQuantised(
        matrices.map((each) => tensor(each)),
        rows,
      )
      expect(file.places.map(({ tensor, size }) => [tensor, size])).toEqual(
        [...matrices, ...matrices].map(({ name, values }) => [name, values.length]),
      )
      const counts = matrices.map((each) => rows?.length ?? each.rows.count)
      const inputs = at(matrices, 0).rows.inputs
      const [codes, scales] = [sum(counts) * inputs, 4 * sum(counts)]
      expect(file.bytes).toBe(4 * codes + scales + 4 * Math.ceil(codes / 4))
    }),
    { seed: 16, numRuns: 60 },
  )
})
