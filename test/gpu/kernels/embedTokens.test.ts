import { describe, test } from 'vitest'
import { embedTokens } from '../../../src/kernels/embedTokens.ts'
import { formatName, type WeightFormat } from '../../../src/weights/format.ts'
import { expectPoison, expectSameBits, randomInts, runKernel } from '../../helpers/kernelHarness.ts'
import { BF16, F16, F32, OTHER_FORMATS } from '../../helpers/weightFormats.ts'
import { randomWeight } from '../../helpers/weights.ts'

interface Case {
  readonly rows: number
  readonly hiddenSize: number
  readonly vocabSize: number
  readonly format: WeightFormat
  readonly maskFirst?: boolean
  readonly scale?: number
}

const CASES: readonly Case[] = [
  { rows: 9, hiddenSize: 192, vocabSize: 4096, format: BF16 },
  { rows: 33, hiddenSize: 64, vocabSize: 512, format: F32 },
  { rows: 7, hiddenSize: 100, vocabSize: 33, format: F16 },
  // more groups of four than a workgroup has invocations
  { rows: 2, hiddenSize: 260, vocabSize: 7, format: BF16 },
  { rows: 1, hiddenSize: 4, vocabSize: 1, format: F32 },
  // zero where the position is 0
  { rows: 9, hiddenSize: 128, vocabSize: 640, format: BF16, maskFirst: true },
  { rows: 7, hiddenSize: 100, vocabSize: 33, format: F16, maskFirst: true },
  { rows: 1, hiddenSize: 4, vocabSize: 1, format: F32, maskFirst: true },
  { rows: 5, hiddenSize: 128, vocabSize: 70, format: BF16, scale: 11.25 },
  ...OTHER_FORMATS.map((format) => ({ rows: 5, hiddenSize: 256, vocabSize: 1003, format })),
]

describe('embedTokens', () => {
  test.each(CASES.map((each) => ({ ...each, named: formatName(each.format) })))(
    '$rows of $hiddenSize from $vocabSize, $named, masked $maskFirst, times $scale, exactly',
    async ({ rows, hiddenSize, vocabSize, format, maskFirst = false, scale = 1 }) => {
      const shape = { hiddenSize, vocabSize, firstToken: 0, tokens: vocabSize, format, maskFirst, scale }
      const weight = randomWeight(format, hiddenSize, vocabSize, hiddenSize)
      const ids = randomInts(rows, rows + 3, vocabSize)
      ids[rows - 1] = vocabSize - 1
      const positions = randomInts(rows, rows + 3, 3)
      positions[0] = 0
      const { out } = await runKernel({
        variant: embedTokens,
        shape,
        gridRows: rows + 3,
        pass: { rows },
        buffers: {
          ids,
          positions: maskFirst ? positions : rows + 3,
          weight: weight.codes,
          scales: weight.scales,
          out: (rows + 3) * hiddenSize,
        },
      })
      const expected = Array.from(ids.subarray(0, rows), (id, row) =>
        maskFirst && positions[row] === 0
          ? new Array<number>(hiddenSize).fill(0)
          : [...weight.values.subarray(id * hiddenSize, (id + 1) * hiddenSize)].map((value) => value * scale),
      )
      expectSameBits(out?.f32.subarray(0, rows * hiddenSize), new Float32Array(expected.flat()))
      expectPoison(out, rows * hiddenSize)
    },
  )

  test('an id outside the vocabulary reads inside the buffer', async () => {
    const shape = { hiddenSize: 8, vocabSize: 7, firstToken: 0, tokens: 7, format: F32, maskFirst: false, scale: 1 }
    const weight = randomWeight(F32, 1, 7, 8)
    const ids = new Uint32Array([0xffffffff])
    const { out } = await runKernel({
      variant: embedTokens,
      shape,
      pass: { rows: 1 },
      buffers: { ids, positions: 1, weight: weight.codes, scales: 1, out: 8 },
    })
    expectSameBits(out?.f32, weight.values.subarray(48))
  })

  test('of a matrix in parts each dispatch writes the rows whose tokens it has, and the last those outside the vocabulary', async () => {
    const ids = new Uint32Array([0, 31, 32, 70, 69, 0xffffffff])
    const weight = randomWeight(F32, 1, 71, 8)
    const parts = [
      { firstToken: 0, tokens: 32, rows: [0, 1] },
      { firstToken: 32, tokens: 39, rows: [2, 3, 4, 5] },
    ]
    for (const { firstToken, tokens, rows } of parts) {
      const { out } = await runKernel({
        variant: embedTokens,
        shape: { hiddenSize: 8, vocabSize: 71, firstToken, tokens, format: F32, maskFirst: false, scale: 1 },
        pass: { rows: ids.length },
        buffers: { ids, positions: 1, weight: weight.codes.subarray(firstToken * 8), scales: 1, out: ids.length * 8 },
      })
      for (const [row, id] of ids.entries()) {
        const token = Math.min(id, 70)
        if (!rows.includes(row)) expectPoison(out, row * 8, (row + 1) * 8)
        else {
          const expected = weight.values.subarray(token * 8, (token + 1) * 8)
          expectSameBits(out?.f32.subarray(row * 8, (row + 1) * 8), expected, `row ${row}`)
        }
      }
    }
  })
})
