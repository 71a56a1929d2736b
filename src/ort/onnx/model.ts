/**
 * A graph as plain data, and its encoding as an ONNX model whose weights lie in one external file. Only what the dense layers of a
 * transformer need: no subgraphs. It must never know what a graph computes.
 *
 * Field numbers: onnx.proto of ONNX 1.17 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
 */

import { ProtoWriter } from './protobuf.ts'

/** Sizes; a name is a size that each run may choose. */
export type Shape = readonly (number | string)[]

export interface GraphValue {
  readonly name: string
  readonly shape: Shape
  /** default: f32 */
  readonly type?: ElementType
}

export type ElementType = 'f32' | 'int8' | 'uint8' | 'int64'

/** A constant tensor, row-major, in the external file. */
export interface GraphWeight {
  readonly name: string
  readonly type: Extract<ElementType, 'f32' | 'int8'>
  readonly shape: readonly number[]
  /** of its first value in the file, in bytes */
  readonly first: number
}

/** A small constant tensor in the model itself. */
export interface GraphConstant {
  readonly name: string
  readonly type: ElementType
  /** []: a scalar */
  readonly shape: readonly number[]
  /** little-endian */
  readonly bytes: Uint8Array
}

export type Attribute = { readonly int: number } | { readonly float: number } | { readonly ints: readonly number[] }

export interface GraphNode {
  readonly operator: string
  /** default: ONNX's own operators */
  readonly domain?: string
  /** '' leaves an optional one out */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes?: Readonly<Record<string, Attribute>>
}

export interface Graph {
  readonly inputs: readonly GraphValue[]
  readonly outputs: readonly GraphValue[]
  readonly weights: readonly GraphWeight[]
  readonly constants?: readonly GraphConstant[]
  /** each after those whose outputs it reads */
  readonly nodes: readonly GraphNode[]
}

/** The name of the external file with the weights, little-endian. */
export const WEIGHTS_FILE = 'weights'

/** The domain of ONNX Runtime's own operators. */
export const MICROSOFT = 'com.microsoft'

/** TensorProto.DataType */
export const ELEMENT_TYPES: Readonly<Record<ElementType, number>> = { f32: 1, uint8: 2, int8: 3, int64: 7 }

const EXTERNAL = 1 // TensorProto.DataLocation
const ATTRIBUTE_FLOAT = 1 // AttributeProto.AttributeType
const ATTRIBUTE_INT = 2
const ATTRIBUTE_INTS = 7

/** Versions that ONNX Runtime 1.30 reads: of the file format and of each domain's operators. */
const IR_VERSION = 10
const OPERATORS = 21
const MICROSOFT_OPERATORS = 1

/** The bytes of a ModelProto. @param operators version of ONNX's own operators */
export function encodeModel(graph: Graph, operators = OPERATORS): Uint8Array {
  const model = new ProtoWriter().int(1, IR_VERSION).string(2, 'weir')
  const versions = { '': operators, [MICROSOFT]: MICROSOFT_OPERATORS }
  for (const [domain, version] of Object.entries(versions)) {
    model.message(8, new ProtoWriter().string(1, domain).int(2, version))
  }
  return model.message(7, graphProto(graph)).finish()
}

function graphProto({ inputs, outputs, weights, constants = [], nodes }: Graph): ProtoWriter {
  const proto = new ProtoWriter()
  for (const node of nodes) proto.message(1, nodeProto(node))
  proto.string(2, 'graph')
  for (const weight of weights) proto.message(5, weightProto(weight))
  for (const constant of constants) proto.message(5, constantProto(constant))
  for (const input of inputs) proto.message(11, valueProto(input))
  for (const output of outputs) proto.message(12, valueProto(output))
  return proto
}

function nodeProto({ operator, domain = '', inputs, outputs, attributes = {} }: GraphNode): ProtoWriter {
  const proto = new ProtoWriter()
  for (const input of inputs) proto.string(1, input)
  for (const output of outputs) proto.string(2, output)
  proto.string(4, operator)
  for (const [name, attribute] of Object.entries(attributes)) proto.message(5, attributeProto(name, attribute))
  return proto.string(7, domain)
}

function attributeProto(name: string, attribute: Attribute): ProtoWriter {
  const proto = new ProtoWriter().string(1, name)
  if ('float' in attribute) return proto.float(2, attribute.float).int(20, ATTRIBUTE_FLOAT)
  if ('int' in attribute) return proto.int(3, attribute.int).int(20, ATTRIBUTE_INT)
  for (const int of attribute.ints) proto.int(8, int)
  return proto.int(20, ATTRIBUTE_INTS)
}

function tensorProto({ name, type, shape }: GraphWeight | GraphConstant): ProtoWriter {
  const proto = new ProtoWriter()
  for (const size of shape) proto.int(1, size)
  return proto.int(2, ELEMENT_TYPES[type]).string(8, name)
}

function constantProto(constant: GraphConstant): ProtoWriter {
  return tensorProto(constant).bytes(9, constant.bytes)
}

function weightProto(weight: GraphWeight): ProtoWriter {
  const { type, shape, first } = weight
  const proto = tensorProto(weight)
  const values = shape.reduce((product, size) => product * size, 1)
  const place = { location: WEIGHTS_FILE, offset: String(first), length: String(values * (type === 'f32' ? 4 : 1)) }
  for (const [key, value] of Object.entries(place)) {
    proto.message(13, new ProtoWriter().string(1, key).string(2, value))
  }
  return proto.int(14, EXTERNAL)
}

function valueProto({ name, shape, type = 'f32' }: GraphValue): ProtoWriter {
  const sizes = new ProtoWriter()
  for (const size of shape) {
    sizes.message(1, typeof size === 'string' ? new ProtoWriter().string(2, size) : new ProtoWriter().int(1, size))
  }
  const tensor = new ProtoWriter().int(1, ELEMENT_TYPES[type]).message(2, sizes)
  return new ProtoWriter().string(1, name).message(2, new ProtoWriter().message(1, tensor))
}
