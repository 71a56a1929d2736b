/** The compiled `assembly/attention.ts`: what it exports, and how it is instantiated. It must never know a buffer by name. */

import attentionWasm from '../../assembly/attention.ts?wasm'
import { WeirError } from '../protocol/errors.ts'

/** Addresses are bytes of the memory that the module was instantiated with; their contents are described in assembly/. */
export interface AttentionExports {
  configure(heads: number, kvHeads: number, headDim: number, epsilon: number, softcap: number): void
  writeKv(
    qkv: number,
    rows: number,
    positions: number,
    slots: number,
    queries: number,
    rope: number,
    rotatedBytes: number,
    queryNorm: number,
    keyNorm: number,
    keyPool: number,
    valuePool: number,
  ): void
  attend(
    qkv: number,
    out: number,
    rows: number,
    position: number,
    window: number,
    queryScales: number,
    table: number,
    keyPool: number,
    valuePool: number,
    scratch: number,
    stride: number,
  ): void
}

/** @throws BACKEND_UNAVAILABLE where WebAssembly or its SIMD instructions are missing or forbidden */
export async function instantiateAttention(memory: WebAssembly.Memory): Promise<AttentionExports> {
  try {
    const { instance } = await WebAssembly.instantiate(attentionWasm, { env: { memory } })
    return instance.exports as unknown as AttentionExports
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      `the WebAssembly module of attention was refused (${reason}): it needs a browser with WebAssembly SIMD and, where the ` +
        `page has a content security policy, 'wasm-unsafe-eval' in its script-src`,
      {},
      { cause },
    )
  }
}
