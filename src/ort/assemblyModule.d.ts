/** What `scripts/assemblyModule.mjs` makes of an import of AssemblyScript. */

declare module '*?wasm' {
  /** the compiled module */
  const bytes: Uint8Array<ArrayBuffer>
  export default bytes
}
