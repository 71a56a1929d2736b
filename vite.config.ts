import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import { assemblyModule } from './scripts/assemblyModule.mjs'
import { ORT_RESOLVE } from './scripts/ortResolve.mjs'

// The demo page in development and its static build. The library build is scripts/build.mjs.
export default defineConfig({
  base: './',
  plugins: [lazyFiles(), assemblyModule()],
  resolve: ORT_RESOLVE,
  // A module as it is: it imports its glue by the URL that it is given.
  optimizeDeps: { exclude: ['onnxruntime-web'] },
  build: { outDir: 'site', target: 'es2023', chunkSizeWarningLimit: 300 },
  worker: { format: 'es', plugins: () => [assemblyModule()] },
})

/** URLs of `src/api/worker/assets.ts`: modules that the worker loads by URL, and files of ONNX Runtime. */
const LAZY_URLS = [
  '../../worker/replay.ts',
  '../../ort/ortBackend.ts',
  '../../../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm',
  '../../../node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.mjs',
]

/** Modules become chunks; Vite by itself would copy their sources. Files are copied, `.mjs` as `.js`: not every server knows it. */
function lazyFiles(): Plugin {
  const emit = (plugin: { emitFile(file: object): string }, path: string): string => {
    const id = fileURLToPath(new URL(path, new URL('src/api/worker/', import.meta.url)))
    if (path.endsWith('.ts')) return plugin.emitFile({ type: 'chunk', id, preserveSignature: 'strict' })
    const name = basename(path).replace(/\.mjs$/, '.js')
    return plugin.emitFile({ type: 'asset', name, source: readFileSync(id) })
  }
  return {
    name: 'lazy-files',
    apply: 'build',
    enforce: 'pre',
    transform(code) {
      const here = LAZY_URLS.map((path) => ({ path, url: `new URL('${path}', import.meta.url)` }))
      const found = here.filter(({ url }) => code.includes(url))
      if (found.length === 0) return null
      const replace = (text: string, { path, url }: (typeof here)[number]) =>
        text.replace(url, `new URL(import.meta.ROLLUP_FILE_URL_${emit(this, path)})`)
      return { code: found.reduce(replace, code), map: null }
    },
  }
}
