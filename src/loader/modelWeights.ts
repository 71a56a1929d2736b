/**
 * The weights of a model out of a checkpoint: finds the bytes of its tensors and orders them so that few requests fetch them. It must
 * never know what a tensor is used for.
 */

import type { ModelTensor, ModelWeights, ReadOptions, RowSink } from '../backend/backend.ts'
import type { BoundTensor } from '../models/bindTensors.ts'
import { assert, at } from '../util/math.ts'
import { isRowWise, matrixBytes } from '../weights/encoding.ts'
import type { ByteRange, Checkpoint, StoredTensorInfo } from './checkpoint.ts'
import { throwIfAborted } from './http.ts'
import { type StackReader, stackReader, type TensorStack } from './stackReader.ts'

/** Reads tensors that were found in the checkpoint's header. */
export function modelWeights(bound: readonly BoundTensor[], checkpoint: Checkpoint): ModelWeights {
  const places = (tensor: BoundTensor) => placeOf(checkpoint, at(tensor.files, 0))
  const tensors = [...bound].sort((a, b) => comparePlaces(places(a), places(b)) || a.firstRow - b.firstRow)
  const byName = new Map(bound.map((tensor) => [tensor.name, tensor]))
  const boundOf = ({ name }: ModelTensor): BoundTensor => {
    const tensor = byName.get(name)
    assert(tensor, `${name} is a tensor of the model`)
    return tensor
  }
  return {
    tensors,
    read: (asked, sink, options) => readTensors(checkpoint, asked.map(boundOf), sink, options),
  }
}

async function readTensors(
  checkpoint: Checkpoint,
  tensors: readonly BoundTensor[],
  sink: RowSink,
  options: ReadOptions = {},
): Promise<void> {
  // One chunk of the network may hold several of rows.
  const checked: RowSink = (tensor, firstRow, rows) => {
    throwIfAborted(options.signal, "the model's weights")
    return sink(tensor, firstRow, rows)
  }
  const ranges = stacksOf(tensors).flatMap((stack) => stackRanges(checkpoint, stack))
  let current: { readonly stack: TensorStack; readonly push: StackReader } | undefined
  const take = (index: number, chunk: Uint8Array): Promise<void> => {
    const { stack, part } = at(ranges, index)
    if (current?.stack !== stack) current = { stack, push: stackReader(stack, checked) }
    return current.push(part, chunk)
  }
  await checkpoint.read(ranges, take, options)
}

/** Consecutive rows of one matrix of the files are read once, whatever tensors they belong to. */
function stacksOf(tensors: readonly BoundTensor[]): TensorStack[] {
  const stacks: BoundTensor[][] = []
  for (const tensor of tensors) {
    const stack = stacks.at(-1)
    const above = stack?.at(-1)
    if (stack && above?.files.join() === tensor.files.join() && endRow(above) === tensor.firstRow) stack.push(tensor)
    else stacks.push([tensor])
  }
  return stacks
}

function endRow({ firstRow, shape }: BoundTensor): number {
  return firstRow + (shape.length === 1 ? 1 : at(shape, 0))
}

interface StackRange extends ByteRange {
  readonly stack: TensorStack
  /** index of the file's tensor, in the order of the encoding */
  readonly part: number
}

/** The ranges of a stack's rows. Codes that can be decoded as they come stand last; the others as they stand in the files. */
function stackRanges(checkpoint: Checkpoint, stack: TensorStack): StackRange[] {
  const { files, encoding, firstRow, fileRows, shape } = at(stack, 0)
  const inputs = at(shape, shape.length - 1)
  const last = endRow(at(stack, stack.length - 1))
  const rowWise = isRowWise(encoding)
  const [first, count] = rowWise ? [firstRow, last - firstRow] : [0, fileRows]
  const begins = rowWise ? matrixBytes(encoding, first, inputs) : files.map(() => 0)
  const sizes = matrixBytes(encoding, count, inputs)
  const ranges = files.map((tensor, part): StackRange => {
    const begin = at(begins, part)
    return { stack, part, tensor, begin, end: begin + at(sizes, part) }
  })
  const [codes, ...others] = ranges
  const held = rowWise ? others : ranges
  held.sort((a, b) => comparePlaces(placeOf(checkpoint, a.tensor), placeOf(checkpoint, b.tensor)))
  return rowWise && codes ? [...held, codes] : held
}

function placeOf(checkpoint: Checkpoint, name: string): StoredTensorInfo {
  const info = checkpoint.tensors.get(name)
  assert(info, `tensor ${name} is in the checkpoint`)
  return info
}

function comparePlaces(a: StoredTensorInfo, b: StoredTensorInfo): number {
  return a.file - b.file || a.offset - b.offset
}
