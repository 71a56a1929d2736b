/**
 * The attention of the WebAssembly backend, in AssemblyScript: QK-norm, RoPE and the write of K and V (writeKv.ts), attention
 * over the paged cache (attend.ts). Memory is imported, and every address comes from the host half, src/ort/attention.ts. It
 * must never know requests, layers, or which buffer is where.
 */

export { attend } from './attend'
export { configure } from './shape'
export { writeKv } from './writeKv'
