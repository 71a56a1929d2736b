/**
 * What `await using` asks for, in the types of those whose TypeScript has `Symbol.asyncDispose` (lib `esnext.disposable`). For all
 * others it is nothing, and no error.
 */

type AsyncDispose = SymbolConstructor extends { readonly asyncDispose: infer S extends symbol } ? S : never

export type AsyncDisposal = { [K in AsyncDispose]: () => Promise<void> }
