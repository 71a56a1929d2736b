/** Types of ortResolve.mjs, for the configuration of Vite. */

export const ORT_RESOLVE: { readonly conditions: string[] }
