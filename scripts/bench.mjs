// Runs the benchmarks headless. Arguments: names (default: all of them).
import { spawnSync } from 'node:child_process'
import { build, createServer } from 'vite'
import { dawnEnvironment, ensureBrowser, hasGpu } from './browser.mjs'

/** On the engine with Dawn in Node. */
const GPU_BENCHES = ['policies', 'speculation']
/** Core alone: bundled as it ships, run with a heap that can be read. */
const CORE_BENCHES = ['scheduler']
const CHILD = 'WEIR_BENCH'

const names = process.argv.length > 2 ? process.argv.slice(2) : [...CORE_BENCHES, ...GPU_BENCHES]
const unknown = names.filter((name) => ![...CORE_BENCHES, ...GPU_BENCHES].includes(name))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}: there are ${[...CORE_BENCHES, ...GPU_BENCHES].join(', ')}`)
  process.exit(1)
}

if (process.env[CHILD]) await runOnGpu(names)
else {
  for (const name of CORE_BENCHES.filter((each) => names.includes(each))) await runCore(name)
  const onGpu = GPU_BENCHES.filter((each) => names.includes(each))
  if (onGpu.length > 0) startWithDriver(onGpu)
}

async function runCore(name) {
  const outDir = 'out/bench/bundle'
  await build({
    configFile: false,
    logLevel: 'warn',
    build: { ssr: `test/bench/${name}.ts`, outDir, target: 'es2023', emptyOutDir: false, minify: false },
  })
  const flags = ['--expose-gc', '--max-semi-space-size=256']
  const script = `import('./${outDir}/${name}.js').then(({ run }) => run())`
  run([...flags, '--input-type=module', '--eval', script], process.env)
}

/** A Vulkan driver must be in the environment before Node starts. */
function startWithDriver(benches) {
  const driver = hasGpu() ? {} : dawnEnvironment(ensureBrowser())
  run([process.argv[1], ...benches], { ...process.env, ...driver, [CHILD]: '1' })
}

function run(args, env) {
  const child = spawnSync(process.execPath, args, { stdio: 'inherit', env })
  if (child.status !== 0) process.exit(child.status ?? 1)
}

async function runOnGpu(benches) {
  const server = await createServer({
    server: { middlewareMode: true, ws: false },
    appType: 'custom',
    logLevel: 'warn',
  })
  for (const name of benches) {
    const { run: bench } = await server.ssrLoadModule(`/test/bench/${name}.ts`)
    await bench()
  }
  await server.close()
  process.exit(0)
}
