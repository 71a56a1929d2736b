import { defineConfig } from 'vitest/config'
import { assemblyModule } from './scripts/assemblyModule.mjs'

const plugins = [assemblyModule()]

// A test's folder decides where it runs: node (no model), gpu (Dawn in Node, one process and one device), browser (Chromium), apps
// (bundlers from the registry, and Chromium). The conformance suite runs on every backend: in gpu, and in wasm.
export default defineConfig({
  test: {
    projects: [
      {
        plugins,
        test: { name: 'node', include: ['test/node/**/*.test.ts'], environment: 'node', testTimeout: 60_000 },
      },
      {
        plugins,
        test: {
          name: 'wasm',
          include: ['test/wasm/**/*.test.ts', 'test/conformance/step/**/*.test.ts'],
          environment: 'node',
          provide: { backend: 'wasm' as const },
          pool: 'forks',
          execArgv: ['--expose-gc'],
          testTimeout: 240_000,
          hookTimeout: 240_000,
        },
      },
      {
        test: {
          name: 'gpu',
          include: ['test/gpu/**/*.test.ts', 'test/conformance/step/**/*.test.ts'],
          environment: 'node',
          provide: { backend: 'webgpu' as const },
          pool: 'forks',
          maxWorkers: 1,
          isolate: false,
          fileParallelism: false,
          testTimeout: 240_000,
          hookTimeout: 240_000,
        },
      },
      {
        plugins,
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          environment: 'node',
          pool: 'forks',
          maxWorkers: 1,
          fileParallelism: false,
          testTimeout: 300_000,
          hookTimeout: 300_000,
        },
      },
      {
        plugins,
        test: {
          name: 'apps',
          include: ['test/apps/**/*.test.ts'],
          environment: 'node',
          pool: 'forks',
          maxWorkers: 1,
          testTimeout: 900_000,
          hookTimeout: 300_000,
        },
      },
    ],
  },
})
