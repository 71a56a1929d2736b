/**
 * The layout of a weight matrix on the GPU, shared by every kernel that reads one: tiles of 32 columns (outputs), [tile][word of
 * K][32], codes in one buffer and scales in another. Rows of a checkpoint become columns, so 32 consecutive rows are one run of
 * bytes. It must never know a tensor's name.
 */

import codesBf16 from '../../shaders/lib/codesBf16.wgsl?raw'
import codesF16 from '../../shaders/lib/codesF16.wgsl?raw'
import codesF32 from '../../shaders/lib/codesF32.wgsl?raw'
import codesU4 from '../../shaders/lib/codesU4.wgsl?raw'
import codesU8 from '../../shaders/lib/codesU8.wgsl?raw'
import half from '../../shaders/lib/half.wgsl?raw'
import scalesHalf from '../../shaders/lib/scalesHalf.wgsl?raw'
import scalesNone from '../../shaders/lib/scalesNone.wgsl?raw'
import scalesOffsetBf16 from '../../shaders/lib/scalesOffsetBf16.wgsl?raw'
import scalesOffsetF16 from '../../shaders/lib/scalesOffsetF16.wgsl?raw'
import scalesSuper16 from '../../shaders/lib/scalesSuper16.wgsl?raw'
import scalesSuper32 from '../../shaders/lib/scalesSuper32.wgsl?raw'
import scalesZeroPoint from '../../shaders/lib/scalesZeroPoint.wgsl?raw'
import scaleTiles from '../../shaders/lib/scaleTiles.wgsl?raw'
import weightTiles from '../../shaders/lib/weightTiles.wgsl?raw'
import type { Specialisation } from '../gpu/kernel.ts'
import { assert, cdiv } from '../util/math.ts'
import { codeBytes, isQuantised, type QuantisedFormat, scaleWords, type WeightFormat } from '../weights/format.ts'

/** Columns of a tile: `TILE_COLUMNS` of the shaders. */
export const TILE_COLUMNS = 32

const CODES: Readonly<Record<WeightFormat['codes'], string>> = {
  bf16: codesBf16,
  f16: codesF16,
  f32: codesF32,
  u4: codesU4,
  u8: codesU8,
}

/** 32-bit words of a weight word, which is what neighbouring columns interleave. */
const WORD_SIZE: Readonly<Record<WeightFormat['codes'], number>> = { bf16: 2, f16: 2, f32: 4, u4: 1, u8: 1 }

/** The WGSL of a format and its constants; the kernel has an override K, the inputs of a row. */
export function weightSpecialisation(format: WeightFormat): Required<Pick<Specialisation, 'consts' | 'libs'>> {
  const libs = [CODES[format.codes], weightTiles]
  if (!isQuantised(format)) return { consts: {}, libs: [...libs, scalesNone, scaleTiles] }
  const { group, scales } = format
  const consts = { SCALE_GROUP: group, ...(scales.kind === 'half' && { SCALE_ZERO: scales.zero }) }
  return { consts, libs: [...libs, half, scalesLib(format), scaleTiles] }
}

function scalesLib({ scales, group }: QuantisedFormat): string {
  switch (scales.kind) {
    case 'half':
      return scalesHalf
    case 'offset':
      return scales.halves === 'f16' ? scalesOffsetF16 : scalesOffsetBf16
    case 'zeroPoint':
      return scalesZeroPoint
    case 'super':
      return group === 16 ? scalesSuper16 : scalesSuper32
  }
}

/** Bytes of the codes and of the scales of one tile. */
export interface TileBytes {
  readonly codes: number
  /** 0: the format has none */
  readonly scales: number
}

/** @param inputs K, a multiple of the inputs of a word */
export function tileBytes(format: WeightFormat, inputs: number): TileBytes {
  const words = codeBytes(format, inputs) / 4
  assert(words % WORD_SIZE[format.codes] === 0, `${inputs} inputs fill whole words of ${format.codes}`)
  return { codes: words * 4 * TILE_COLUMNS, scales: scaleWords(format, inputs) * 4 * TILE_COLUMNS }
}

/** Bytes of a stored matrix. */
export function storedBytes(format: WeightFormat, inputs: number, columns: number): TileBytes {
  const tiles = cdiv(columns, TILE_COLUMNS)
  const { codes, scales } = tileBytes(format, inputs)
  return { codes: codes * tiles, scales: scales * tiles }
}

/** A tile in host memory, to be filled column by column. */
export class WeightTile {
  readonly codes: Uint32Array<ArrayBuffer>
  readonly scales: Uint32Array<ArrayBuffer>
  readonly #wordSize: number

  constructor(format: WeightFormat, inputs: number) {
    const bytes = tileBytes(format, inputs)
    this.codes = new Uint32Array(bytes.codes / 4)
    this.scales = new Uint32Array(bytes.scales / 4)
    this.#wordSize = WORD_SIZE[format.codes]
  }

  /**
   * Sets a column to a row of the checkpoint.
   * @param column 0…31
   * @param codes the row's codes as 32-bit words
   * @param scales the row's scales
   */
  setColumn(column: number, codes: Uint32Array, scales: Uint32Array): void {
    scatter(this.codes, codes, column, this.#wordSize)
    scatter(this.scales, scales, column, 1)
  }

  clear(): void {
    this.codes.fill(0)
    this.scales.fill(0)
  }
}

/** Writes words of `size` 32-bit words each to one column of a tile. */
function scatter(tile: Uint32Array, words: Uint32Array, column: number, size: number): void {
  const stride = TILE_COLUMNS * size
  let to = column * size
  for (let from = 0; from < words.length; from += size) {
    for (let i = 0; i < size; i++) tile[to + i] = words[from + i] as number
    to += stride
  }
}
