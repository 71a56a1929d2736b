// Runs the benchmarks headless, on Dawn in Node. Arguments: names (default: all of them).
import { spawnSync } from 'node:child_process'
import { createServer } from 'vite'
import { dawnEnvironment, ensureBrowser, hasGpu } from './browser.mjs'

const BENCHES = ['policies', 'streams']
const CHILD = 'WEIR_BENCH'

if (process.env[CHILD]) await runBenches()
else startWithDriver()

/** A Vulkan driver must be in the environment before Node starts. */
function startWithDriver() {
  const driver = hasGpu() ? {} : dawnEnvironment(ensureBrowser())
  const env = { ...process.env, ...driver, [CHILD]: '1' }
  const child = spawnSync(process.execPath, process.argv.slice(1), { stdio: 'inherit', env })
  process.exit(child.status ?? 1)
}

async function runBenches() {
  const names = process.argv.slice(2)
  const unknown = names.filter((name) => !BENCHES.includes(name))
  if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(', ')}: there are ${BENCHES.join(', ')}`)
  const server = await createServer({
    server: { middlewareMode: true, ws: false },
    appType: 'custom',
    logLevel: 'warn',
  })
  for (const name of names.length > 0 ? names : BENCHES) {
    const { run } = await server.ssrLoadModule(`/test/bench/${name}.ts`)
    await run()
  }
  await server.close()
  process.exit(0)
}
