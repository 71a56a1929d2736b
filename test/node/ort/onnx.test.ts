/** The encoder of ONNX models: its bytes read back by an independent reader, and graphs of one node run by ONNX Runtime. */

import { describe, expect, it } from 'vitest'
import { encodeModel, type Graph, type GraphNode, MICROSOFT } from '../../../src/ort/onnx/model.ts'
import { ProtoWriter } from '../../../src/ort/onnx/protobuf.ts'
import { seededRandom } from '../../helpers/kernelHarness.ts'
import { nodeOrt } from '../../helpers/ort.ts'
import { floats, integers, messages, readProto, strings } from '../../helpers/protoReader.ts'

describe('the writer of messages', () => {
  it('writes every size of integer, negative ones as 64 bits', () => {
    const values = [0, 1, 127, 128, 300, 16_384, 2 ** 31, 2 ** 53 - 1, -1, -300]
    const writer = new ProtoWriter()
    for (const value of values) writer.int(20, value)
    expect(integers(readProto(writer.finish()), 20)).toEqual(values)
    expect([...new ProtoWriter().int(1, 150).finish()]).toEqual([0x08, 0x96, 0x01]) // the specification's own example
    expect(new ProtoWriter().int(1, -1).finish()).toHaveLength(11)
  })

  it('writes floats, strings and messages within messages, in any order and repeated', () => {
    const inner = new ProtoWriter().string(1, 'größe').float(2, -0.5)
    const bytes = new ProtoWriter()
      .message(3, inner)
      .string(1, 'a')
      .message(3, new ProtoWriter())
      .string(1, '')
      .finish()
    const outer = readProto(bytes)
    expect(strings(outer, 1)).toEqual(['a', ''])
    const [first, second] = messages(outer, 3)
    expect(first && [strings(first, 1), floats(first, 2)]).toEqual([['größe'], [-0.5]])
    expect(second?.size).toBe(0)
  })
})

describe('a model', () => {
  const graph: Graph = {
    inputs: [{ name: 'x', shape: ['rows', 3] }],
    outputs: [{ name: 'y', shape: ['rows', 2] }],
    weights: [
      { name: 'w', type: 'f32', shape: [2, 3], first: 0 },
      { name: 'b', type: 'f32', shape: [2], first: 24 },
    ],
    nodes: [
      { operator: 'Gemm', inputs: ['x', 'w', 'b'], outputs: ['h'], attributes: { transB: { int: 1 } } },
      { operator: 'QuickGelu', domain: MICROSOFT, inputs: ['h'], outputs: ['y'], attributes: { alpha: { float: 1 } } },
    ],
  }
  const model = readProto(encodeModel(graph))
  const proto = messages(model, 7)[0] ?? new Map()

  it('names its versions of format and operators', () => {
    expect(integers(model, 1)).toEqual([10])
    expect(messages(model, 8).map((set) => [strings(set, 1)[0], integers(set, 2)[0]])).toEqual([
      ['', 21],
      [MICROSOFT, 1],
    ])
  })

  it('holds nodes in order, with inputs, outputs, domains and typed attributes', () => {
    const nodes = messages(proto, 1)
    expect(nodes.map((node) => [strings(node, 4)[0], strings(node, 1), strings(node, 2), strings(node, 7)[0]])).toEqual(
      [
        ['Gemm', ['x', 'w', 'b'], ['h'], ''],
        ['QuickGelu', ['h'], ['y'], MICROSOFT],
      ],
    )
    const attributes = nodes.flatMap((node) => messages(node, 5))
    expect(attributes.map((a) => [strings(a, 1)[0], integers(a, 3), floats(a, 2), integers(a, 20)[0]])).toEqual([
      ['transB', [1], [], 2],
      ['alpha', [], [1], 1],
    ])
  })

  it('holds weights as f32 at byte offsets of an external file, and no bytes of them', () => {
    const weights = messages(proto, 5).map((weight) => ({
      name: strings(weight, 8)[0],
      shape: integers(weight, 1),
      type: integers(weight, 2),
      external: integers(weight, 14),
      place: messages(weight, 13).map((entry) => [strings(entry, 1)[0], strings(entry, 2)[0]]),
      raw: weight.has(9),
    }))
    const place = (offset: string, length: string) => [
      ['location', 'weights'],
      ['offset', offset],
      ['length', length],
    ]
    const common = { type: [1], external: [1], raw: false }
    expect(weights).toEqual([
      { name: 'w', shape: [2, 3], ...common, place: place('0', '24') },
      { name: 'b', shape: [2], ...common, place: place('24', '8') },
    ])
  })

  it('gives inputs and outputs a free number of rows and a fixed width', () => {
    for (const [field, name, width] of [
      [11, 'x', 3],
      [12, 'y', 2],
    ] as const) {
      const [value] = messages(proto, field)
      const tensor = value && messages(messages(value, 2)[0] ?? new Map(), 1)[0]
      const sizes = tensor && messages(messages(tensor, 2)[0] ?? new Map(), 1)
      expect(value && strings(value, 1)).toEqual([name])
      expect(tensor && integers(tensor, 1)).toEqual([1])
      expect(sizes?.map((size) => strings(size, 2)[0] ?? integers(size, 1)[0])).toEqual(['rows', width])
    }
  })
})

describe('a graph of one node', () => {
  const ROWS = 3
  const random = seededRandom(5)
  const values = (size: number) => Float32Array.from({ length: size }, () => 4 * random() - 2)

  interface OneNode {
    readonly node: Omit<GraphNode, 'inputs' | 'outputs'>
    /** widths of the inputs x0, x1, … */
    readonly widths: readonly number[]
    /** shapes of the weights w0, w1, …, which follow the inputs */
    readonly weights: readonly (readonly number[])[]
    readonly width: number
    /** one row */
    readonly expected: (x: readonly number[][], w: readonly number[][]) => number[]
  }

  const rms = (x: readonly number[], eps: number) => Math.sqrt(x.reduce((s, v) => s + v * v, 0) / x.length + eps)
  const cases: Readonly<Record<string, OneNode>> = {
    'Gemm, transposed, with a bias': {
      node: { operator: 'Gemm', attributes: { transB: { int: 1 } } },
      widths: [5],
      weights: [[7, 5], [7]],
      width: 7,
      expected: ([x = []], [w = [], b = []]) =>
        b.map((bias, n) => x.reduce((s, v, k) => s + v * (w[n * 5 + k] ?? Number.NaN), bias)),
    },
    SimplifiedLayerNormalization: {
      node: {
        operator: 'SimplifiedLayerNormalization',
        attributes: { axis: { int: -1 }, epsilon: { float: 0.25 } },
      },
      widths: [6],
      weights: [[6]],
      width: 6,
      expected: ([x = []], [w = []]) => x.map((v, i) => (v / rms(x, 0.25)) * (w[i] ?? Number.NaN)),
    },
    'QuickGelu of alpha 1': {
      node: { operator: 'QuickGelu', domain: MICROSOFT, attributes: { alpha: { float: 1 } } },
      widths: [9],
      weights: [],
      width: 9,
      expected: ([x = []]) => x.map((v) => v / (1 + Math.exp(-v))),
    },
    Concat: {
      node: { operator: 'Concat', attributes: { axis: { int: -1 } } },
      widths: [2, 3],
      weights: [],
      width: 5,
      expected: (x) => x.flat(),
    },
    Mul: {
      node: { operator: 'Mul' },
      widths: [4, 4],
      weights: [],
      width: 4,
      expected: ([a = [], b = []]) => a.map((v, i) => v * (b[i] ?? Number.NaN)),
    },
  }

  it.each(Object.entries(cases))(
    '%s computes what float64 does',
    async (_, { node, widths, weights, width, expected }) => {
      const { createSession } = await nodeOrt()
      const sizes = weights.map((shape) => shape.reduce((a, b) => a * b, 1))
      const firsts = sizes.map((_size, index) => sizes.slice(0, index).reduce((a, b) => a + b, 0))
      const file = values(
        Math.max(
          1,
          sizes.reduce((a, b) => a + b, 0),
        ),
      )
      const graph: Graph = {
        inputs: widths.map((size, i) => ({ name: `x${i}`, shape: ['rows', size] })),
        outputs: [{ name: 'y', shape: ['rows', width] }],
        weights: weights.map((shape, i) => ({ name: `w${i}`, type: 'f32', shape, first: 4 * (firsts[i] ?? 0) })),
        nodes: [
          { ...node, inputs: [...widths.map((_w, i) => `x${i}`), ...weights.map((_w, i) => `w${i}`)], outputs: ['y'] },
        ],
      }
      const session = await createSession('one', encodeModel(graph), new Uint8Array(file.buffer))
      const inputs = widths.map((size) => values(ROWS * size))
      const { y } = await session.run(Object.fromEntries(inputs.map((x, i) => [`x${i}`, x])), ROWS)
      await session.release()
      expect(y).toHaveLength(ROWS * width)
      for (let row = 0; row < ROWS; row++) {
        const x = inputs.map((input, i) => [...input.subarray(row * (widths[i] ?? 0), (row + 1) * (widths[i] ?? 0))])
        const w = sizes.map((size, i) => [...file.subarray(firsts[i], (firsts[i] ?? 0) + size)])
        for (const [i, value] of expected(x, w).entries()) expect(y?.[row * width + i]).toBeCloseTo(value, 5)
      }
    },
  )
})
