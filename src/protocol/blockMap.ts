/** The words of the block map: what an entry of `blockOwners` says of a KV block that no single request owns. */

/** free, and nothing worth keeping in it */
export const FREE_BLOCK = -1

/** free, but it holds a prefix that a later request may take up again */
export const CACHED_BLOCK = -2

/** several requests read it */
export const SHARED_BLOCK = -3
