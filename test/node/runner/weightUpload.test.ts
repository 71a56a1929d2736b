/** The upload of weights: whatever order and pieces rows come in, the buffers hold the tiled layout of them, and nothing is missed. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ModelTensor } from '../../../src/backend/backend.ts'
import { WeightUploader } from '../../../src/runner/loadWeights.ts'
import { DRAFT_HEAD, headMatrix, type WeightLayout, weightLayout } from '../../../src/runner/weightLayout.ts'
import type { WeightRows } from '../../../src/weights/format.ts'
import { sliceRows } from '../../../src/weights/rowSlices.ts'
import { SMALL_MIMO } from '../../helpers/denseReference.ts'
import { anyGpuSpec, anyTensors, isMatrix, randomRows } from '../../helpers/drawnWeights.ts'
import {
  type Column,
  columnsOf,
  expectSameWords,
  storedPart,
  type TensorRows,
  UploadTarget,
} from '../../helpers/uploadTarget.ts'

/** Rows of a tensor that come together. */
interface Piece {
  readonly tensor: ModelTensor
  readonly first: number
  readonly count: number
}

/** Whole tensors cut anywhere, the pieces of all of them in any order. */
function anyPieces(tensors: readonly ModelTensor[]): fc.Arbitrary<Piece[]> {
  const cut = (tensor: ModelTensor) => {
    const rows = isMatrix(tensor) ? (tensor.shape[0] ?? 0) : 1
    return fc.uniqueArray(fc.nat(rows), { maxLength: 4 }).map((cuts) => {
      const firsts = [...new Set([0, ...cuts])].filter((row) => row < rows).sort((a, b) => a - b)
      return firsts.map((first, i): Piece => ({ tensor, first, count: (firsts[i + 1] ?? rows) - first }))
    })
  }
  return fc.tuple(...tensors.map(cut)).chain((pieces) => {
    const all = pieces.flat()
    return fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length })
  })
}

/** Hands a piece over as a source does: in memory of its own, at any offset, which is used again afterwards. */
function deliver(uploader: WeightUploader, rows: WeightRows, { tensor, first, count }: Piece): void {
  const own = sliceRows(rows, first, count)
  const shifted = new Uint8Array(own.codes.length + 1 + (first % 4)).subarray(1 + (first % 4))
  shifted.set(own.codes)
  const copy: WeightRows = { ...own, codes: shifted, scales: own.scales.slice() }
  uploader.add(tensor, first, copy)
  copy.codes.fill(0xff)
  copy.scales.fill(0xffffffff)
}

/** The columns of every matrix, put together from the tensors that it is made of, in the order of their roles. */
function matrixColumns(layout: WeightLayout, tensors: readonly TensorRows[]): Map<string, Column[]> {
  const columns = new Map<string, Column[]>()
  const order = ['q', 'k', 'v']
  const inOrder = [...tensors].sort((a, b) => order.indexOf(a.tensor.role) - order.indexOf(b.tensor.role))
  for (const each of inOrder.filter(({ tensor }) => isMatrix(tensor))) {
    const name = layout.places.get(each.tensor.name)?.name ?? expect.fail(each.tensor.name)
    columns.set(name, [...(columns.get(name) ?? []), ...columnsOf([each])])
  }
  return columns
}

function expectStored(
  target: UploadTarget,
  layout: WeightLayout,
  columns: ReadonlyMap<string, readonly Column[]>,
): void {
  for (const [name, { parts }] of layout.matrices) {
    for (const part of parts) {
      const own = columns.get(name)?.slice(part.outColumn, part.outColumn + part.columns) ?? []
      for (const [buffer, words] of storedPart(part, own)) expectSameWords(target.words(buffer), words, buffer)
    }
  }
}

const anyUpload = anyGpuSpec
  .map((spec) => ({ ...spec, numLayers: 1, layers: spec.layers.slice(0, 1) }))
  .chain((spec) => {
    const vocabulary = Array.from({ length: spec.vocabSize }, (_, id) => id)
    return anyTensors(spec).chain((tensors) =>
      fc.record({
        spec: fc.constant(spec),
        pieces: anyPieces(tensors),
        bindingBytes: fc.constantFrom(1, 20_000, undefined),
        seed: fc.nat(1e6),
        draftVocab: fc.subarray(vocabulary, { minLength: 1 }),
      }),
    )
  })
type Upload = typeof anyUpload extends fc.Arbitrary<infer T> ? T : never

/** An upload before anything came. */
function begin({ spec, pieces, bindingBytes, seed, draftVocab }: Upload) {
  const tensors = [...new Set(pieces.map(({ tensor }) => tensor))]
  const all = tensors.map((tensor, index) => randomRows(tensor, seed + index))
  const layout = weightLayout(spec, tensors, { withDrafter: true, draftVocab: draftVocab.length, bindingBytes })
  const copy = layout.matrices.has(DRAFT_HEAD)
    ? { from: headMatrix(spec), to: DRAFT_HEAD, columns: draftVocab }
    : undefined
  const target = new UploadTarget(layout)
  const uploader = new WeightUploader(target.queue, target.arena, layout, copy)
  const rowsOf = new Map(all.map(({ tensor, rows }) => [tensor, rows]))
  const add = (piece: Piece) => deliver(uploader, rowsOf.get(piece.tensor) ?? expect.fail(piece.tensor.name), piece)
  return { all, layout, copy, target, uploader, add }
}

describe('the buffers of the weights', () => {
  it('hold the tiles of the rows, the copied columns of the head too, and 0 past the last column', () => {
    fc.assert(
      fc.property(anyUpload, (upload) => {
        const { all, layout, copy, target, add } = begin(upload)
        upload.pieces.forEach(add)
        const columns = matrixColumns(layout, all)
        const head = columns.get(headMatrix(upload.spec)) ?? []
        if (copy)
          columns.set(
            copy.to,
            head.filter((_, id) => copy.columns.includes(id)),
          )
        expectStored(target, layout, columns)
        for (const { tensor, rows } of all.filter(({ tensor }) => !isMatrix(tensor))) {
          const { name, first } = layout.places.get(tensor.name) ?? expect.fail(tensor.name)
          const bytes = target.bytes(name).subarray(4 * first, 4 * first + rows.codes.length)
          expect(Buffer.compare(bytes, rows.codes), tensor.name).toBe(0)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('are complete when the last row came, and not before', () => {
    fc.assert(
      fc.property(anyUpload, (upload) => {
        const { uploader, add } = begin(upload)
        const before = upload.pieces.map((piece) => {
          const { complete } = uploader
          add(piece)
          return complete
        })
        expect(before).not.toContain(true)
        expect(uploader.complete).toBe(true)
      }),
      { numRuns: 30 },
    )
  })
})

it('rows of a tensor that has no place are refused', () => {
  const tensor = { role: 'q', part: 'mtp', layer: 0, name: 'other', shape: [2, 4], format: { codes: 'f32' } } as const
  const layout = weightLayout(SMALL_MIMO, [], { withDrafter: false })
  const target = new UploadTarget(layout)
  const { rows } = randomRows(tensor, 1)
  expect(() => new WeightUploader(target.queue, target.arena, layout).add(tensor, 0, rows)).toThrow(/other has a place/)
})
