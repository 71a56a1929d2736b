import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vite'
import { assemblyModule } from './scripts/assemblyModule.mjs'

// The demo page in development and its static build. The library build is scripts/build.mjs.
export default defineConfig({
  base: './',
  plugins: [replayModule(), assemblyModule()],
  build: { outDir: 'site', target: 'es2023', chunkSizeWarningLimit: 300 },
  worker: { format: 'es', plugins: () => [assemblyModule()] },
})

/** The module that the worker loads by URL becomes a chunk; Vite by itself would copy its source. */
function replayModule(): Plugin {
  const url = "new URL('../../worker/replay.ts', import.meta.url)"
  const id = fileURLToPath(new URL('src/worker/replay.ts', import.meta.url))
  return {
    name: 'replay-module',
    apply: 'build',
    enforce: 'pre',
    transform(code) {
      if (!code.includes(url)) return null
      const chunk = this.emitFile({ type: 'chunk', id, preserveSignature: 'strict' })
      return { code: code.replace(url, `new URL(import.meta.ROLLUP_FILE_URL_${chunk})`), map: null }
    },
  }
}
