/**
 * The block map: one cell per KV block, in the colour of the request that holds it, or of its state: free, cached or shared.
 * A pure function to a display list.
 */

import { CACHED_BLOCK, SHARED_BLOCK } from '../protocol/blockMap.ts'
import type { DisplayList, Shape } from './displayList.ts'
import { type ChartTheme, requestColour } from './theme.ts'

export interface BlockMapInput {
  /** [totalBlocks], each a request id, FREE_BLOCK, CACHED_BLOCK or SHARED_BLOCK */
  readonly owners: Int32Array
  readonly width: number
  readonly height: number
  readonly theme: ChartTheme
}

export interface BlockGrid {
  readonly columns: number
  readonly cell: number
}

/** The number of columns for which `cells` square cells are largest in the box, and their size, at most `largest`. */
export function blockGrid(cells: number, width: number, height: number, largest = 16): BlockGrid {
  let best: BlockGrid = { columns: Math.max(1, cells), cell: 0 }
  for (let columns = 1; columns <= Math.max(1, cells); columns++) {
    const rows = Math.ceil(Math.max(1, cells) / columns)
    const cell = Math.min(width / columns, height / rows, largest)
    if (cell >= best.cell) best = { columns, cell }
  }
  return best
}

export function blockMap(input: BlockMapInput): DisplayList {
  const { owners, theme } = input
  const { columns, cell } = blockGrid(owners.length, input.width, input.height)
  const gap = cell > 5 ? 1.5 : cell > 3 ? 1 : 0.5
  const side = Math.max(0.5, cell - gap)
  const radius = cell > 7 ? 1.5 : 0
  const shapes: Shape[] = []
  for (let block = 0; block < owners.length; block++) {
    const owner = owners[block] ?? -1
    const x = (block % columns) * cell
    const y = Math.floor(block / columns) * cell
    const [role, fill] = lookOf(owner, theme)
    shapes.push({ kind: 'rect', role, x, y, width: side, height: side, fill, radius })
  }
  return shapes
}

function lookOf(owner: number, theme: ChartTheme): readonly [role: string, fill: string] {
  if (owner >= 0) return ['owned', requestColour(owner, theme)]
  if (owner === SHARED_BLOCK) return ['shared', theme.shared]
  return owner === CACHED_BLOCK ? ['cached', theme.cached] : ['free', theme.free]
}
