// A matrix is stored in tiles of 32 columns (outputs), [tile][word of K][32]: rows of a checkpoint fill a tile one by one, and
// neighbouring columns are neighbouring words. A word holds WORD_GROUPS groups of four inputs. Columns past the last are 0.
const TILE_COLUMNS: u32 = 32u;

// Where the words of a column begin. The next three columns follow it, if it is a multiple of 4.
fn columnStart(column: u32) -> u32 {
  return column / TILE_COLUMNS * (K / (4u * WORD_GROUPS)) * TILE_COLUMNS + column % TILE_COLUMNS;
}

// The word of a group of a column that starts at `start`.
fn wordIndex(start: u32, group: u32) -> u32 {
  return start + group / WORD_GROUPS * TILE_COLUMNS;
}
