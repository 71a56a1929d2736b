// Runs the scheduler's randomised test (test/soak/blast.ts) at length. WEIR_SOAK_STEPS: steps, a million by default;
// WEIR_BLAST_SEED: the first seed.
import { spawnSync } from 'node:child_process'
import { build } from 'vite'

const outDir = 'out/soak'
await build({
  configFile: false,
  logLevel: 'warn',
  build: { ssr: 'test/soak/blast.ts', outDir, target: 'es2023', minify: false },
})
const script = `import('./${outDir}/blast.js').then(({ run }) => run())`
const { status } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'inherit' })
process.exit(status ?? 1)
