// Runs the benchmarks headless, each bundled as it ships. Arguments: names (default: all that need nothing but the repository).
import { spawnSync } from 'node:child_process'
import { build } from 'vite'
import { assemblyModule } from './assemblyModule.mjs'
import { dawnEnvironment, ensureBrowser, hasGpu } from './browser.mjs'

/** These need no GPU, and run with access to the garbage collector. */
const CORE_BENCHES = ['scheduler']
/** These run the engine on the processor, in Node. */
const PROCESSOR_BENCHES = ['quality']
/** These run the engine on Dawn in Node. */
const GPU_BENCHES = ['policies', 'speculation', 'shapes']
/** These run in a browser and install what they compare with, so only when named. */
const BROWSER_BENCHES = ['backends']
const BUNDLE = 'out/bench/bundle'

/** Only when named: it makes files of 1.5 GB. */
const LARGE_BENCHES = ['shapes']

const all = [...CORE_BENCHES, ...PROCESSOR_BENCHES, ...GPU_BENCHES, ...BROWSER_BENCHES]
const usual = all.filter((name) => ![...PROCESSOR_BENCHES, ...BROWSER_BENCHES, ...LARGE_BENCHES].includes(name))
const names = process.argv.length > 2 ? process.argv.slice(2) : usual
const unknown = names.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}: there are ${all.join(', ')}`)
  process.exit(1)
}

for (const name of all.filter((each) => names.includes(each))) {
  await bundle(name)
  if (CORE_BENCHES.includes(name)) run(name, ['--expose-gc', '--max-semi-space-size=256'], {})
  else if ([...PROCESSOR_BENCHES, ...BROWSER_BENCHES].includes(name)) run(name, [], {})
  // The Vulkan driver is chosen by environment variables, which must be set before Node starts.
  else run(name, [], hasGpu() ? {} : dawnEnvironment(ensureBrowser()))
}

function bundle(name) {
  const output = { outDir: BUNDLE, emptyOutDir: false, copyPublicDir: false }
  const input = { ssr: `test/bench/${name}.ts`, target: 'es2023', minify: false }
  return build({
    configFile: false,
    logLevel: 'warn',
    plugins: [assemblyModule()],
    build: { ...input, ...output },
  })
}

function run(name, flags, environment) {
  // Dawn's threads would keep the process alive.
  const script = `import('./${BUNDLE}/${name}.js').then(({ run }) => run()).then(() => process.exit(0))`
  const child = spawnSync(process.execPath, [...flags, '--input-type=module', '--eval', script], {
    stdio: 'inherit',
    env: { ...process.env, ...environment },
  })
  if (child.status !== 0) process.exit(child.status ?? 1)
}
