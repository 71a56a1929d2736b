import { describe, test } from 'vitest'
import { embedTokens } from '../../../src/kernels/embedTokens.ts'
import { expectPoison, expectSameBits, randomInts, runKernel } from '../../helpers/kernelHarness.ts'
import { randomWeight } from '../../helpers/weights.ts'

const CASES = [
  { rows: 9, hiddenSize: 192, vocabSize: 4096, dtype: 'bf16', maskFirst: false },
  { rows: 33, hiddenSize: 64, vocabSize: 512, dtype: 'f32', maskFirst: false },
  { rows: 7, hiddenSize: 100, vocabSize: 33, dtype: 'f16', maskFirst: false },
  // more groups of four than a workgroup has invocations
  { rows: 2, hiddenSize: 260, vocabSize: 7, dtype: 'bf16', maskFirst: false },
  { rows: 1, hiddenSize: 4, vocabSize: 1, dtype: 'f32', maskFirst: false },
  // zero where the position is 0
  { rows: 9, hiddenSize: 128, vocabSize: 640, dtype: 'bf16', maskFirst: true },
  { rows: 7, hiddenSize: 100, vocabSize: 33, dtype: 'f16', maskFirst: true },
  { rows: 1, hiddenSize: 4, vocabSize: 1, dtype: 'f32', maskFirst: true },
] as const

describe('embedTokens', () => {
  test.each(CASES)(
    '$rows of $hiddenSize from $vocabSize, $dtype, masked $maskFirst, exactly',
    async ({ rows, ...shape }) => {
      const { hiddenSize, vocabSize, dtype, maskFirst } = shape
      const weight = randomWeight(dtype, hiddenSize, vocabSize, hiddenSize)
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
          weight: weight.words,
          out: (rows + 3) * hiddenSize,
        },
      })
      const expected = Array.from(ids.subarray(0, rows), (id, row) =>
        maskFirst && positions[row] === 0
          ? new Array<number>(hiddenSize).fill(0)
          : [...weight.values.subarray(id * hiddenSize, (id + 1) * hiddenSize)],
      )
      expectSameBits(out?.f32.subarray(0, rows * hiddenSize), new Float32Array(expected.flat()))
      expectPoison(out, rows * hiddenSize)
    },
  )

  test('an id outside the vocabulary reads inside the buffer', async () => {
    const shape = { hiddenSize: 8, vocabSize: 7, dtype: 'f32', maskFirst: false } as const
    const weight = randomWeight('f32', 1, 7, 8)
    const ids = new Uint32Array([0xffffffff])
    const { out } = await runKernel({
      variant: embedTokens,
      shape,
      pass: { rows: 1 },
      buffers: { ids, positions: 1, weight: weight.words, out: 8 },
    })
    expectSameBits(out?.f32, weight.values.subarray(48))
  })
})
