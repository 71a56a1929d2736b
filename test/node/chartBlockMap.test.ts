import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { blockGrid, blockMap } from '../../src/chart/blockMap.ts'
import { DARK_THEME, LIGHT_THEME, requestColour } from '../../src/chart/theme.ts'
import { CACHED_BLOCK, SHARED_BLOCK } from '../../src/protocol/blockMap.ts'

const owners = fc
  .array(fc.integer({ min: SHARED_BLOCK, max: 40 }), { maxLength: 1500 })
  .map((ids) => Int32Array.from(ids))
const size = fc.integer({ min: 40, max: 900 })

describe('KV block map', () => {
  it('draws one cell per block inside its box, no two over one another', () => {
    fc.assert(
      fc.property(owners, size, size, (ids, width, height) => {
        const cells = blockMap({ owners: ids, width, height, theme: LIGHT_THEME })
        expect(cells).toHaveLength(ids.length)
        const places = new Set<string>()
        for (const cell of cells) {
          if (cell.kind !== 'rect') throw new Error('a cell is a rectangle')
          expect(cell.x + cell.width).toBeLessThanOrEqual(width + 1e-6)
          expect(cell.y + cell.height).toBeLessThanOrEqual(height + 1e-6)
          places.add(`${cell.x} ${cell.y}`)
        }
        expect(places.size).toBe(ids.length)
        const { cell } = blockGrid(ids.length, width, height)
        for (const shape of cells) expect(shape.kind === 'rect' && shape.width < cell).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('gives the blocks of a request one colour, and free, cached and shared ones their own', () => {
    fc.assert(
      fc.property(owners, (ids) => {
        const cells = blockMap({ owners: ids, width: 300, height: 120, theme: DARK_THEME })
        for (const [block, cell] of cells.entries()) {
          const owner = ids[block] ?? -1
          const [role, colour] =
            owner >= 0
              ? ['owned', requestColour(owner, DARK_THEME)]
              : owner === SHARED_BLOCK
                ? ['shared', DARK_THEME.shared]
                : owner === CACHED_BLOCK
                  ? ['cached', DARK_THEME.cached]
                  : ['free', DARK_THEME.free]
          expect(cell.kind === 'rect' && cell.fill).toBe(colour)
          expect(cell.role).toBe(role)
        }
      }),
      { numRuns: 30 },
    )
  })

  it('tells sixteen neighbours apart', () => {
    for (let first = 0; first < 64; first++) {
      const colours = new Set(Array.from({ length: 16 }, (_, index) => requestColour(first + index, LIGHT_THEME)))
      expect(colours.size).toBe(16)
    }
  })
})
