import { defineConfig } from 'vite'

// The demo page in development and its static build. The library build is scripts/build.mjs.
export default defineConfig({
  base: './',
  build: { outDir: 'site', target: 'es2023', chunkSizeWarningLimit: 300 },
  worker: { format: 'es' },
})
