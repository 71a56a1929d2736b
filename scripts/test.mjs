// Runs the test stages in order, each timed, and ends with "N passed, N failed". Arguments: stage names (default: all), then
// optionally `--` and arguments for Vitest.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { browserVersion, dawnEnvironment, ensureBrowser } from './browser.mjs'

const STAGES = {
  check: { script: 'check' },
  lint: { script: 'lint' },
  node: { project: 'node' },
  wasm: { project: 'wasm' },
  gpu: { project: 'gpu', browser: true },
  build: { script: 'build' },
  browser: { project: 'browser', browser: true },
}

const split = process.argv.indexOf('--')
const names = process.argv.slice(2, split < 0 ? undefined : split).filter((name) => name in STAGES)
const extra = split < 0 ? process.argv.slice(2).filter((name) => !(name in STAGES)) : process.argv.slice(split + 1)
const stages = names.length > 0 ? names : Object.keys(STAGES)

const totals = { passed: 0, failed: 0, skipped: 0 }
const lines = []
let broken = false
mkdirSync('out', { recursive: true })

let environment
for (const name of stages) {
  const stage = STAGES[name]
  const start = performance.now()
  const ok = stage.script ? run('npm', ['run', '--silent', stage.script]) : vitest(name, stage)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  lines.push(`${name.padEnd(8)} ${ok ? 'ok    ' : 'FAILED'} ${seconds.padStart(7)} s`)
  if (!ok) broken = true
  if (!ok && stage.script) break
}

console.log(`\n${lines.join('\n')}`)
const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : ''
console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`)
process.exit(broken || totals.failed > 0 || totals.skipped > 0 ? 1 : 0)

function vitest(name, stage) {
  if (stage.browser && !environment) {
    const browser = ensureBrowser()
    environment = { WEIR_BROWSER: browser, ...dawnEnvironment(browser) }
    console.log(browserVersion(browser), environment.VK_ICD_FILENAMES ? '(software Vulkan for Node)' : '')
  }
  const report = `out/test-${name}.json`
  rmSync(report, { force: true })
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const ok = run('npx', ['vitest', 'run', '--project', stage.project, ...reporters, ...extra], environment)
  if (!existsSync(report)) return false
  const results = JSON.parse(readFileSync(report, 'utf8'))
  totals.passed += results.numPassedTests
  totals.failed += results.numFailedTests
  totals.skipped += results.numPendingTests + results.numTodoTests
  return ok && results.numTotalTests > 0
}

function run(command, args, env = {}) {
  return spawnSync(command, args, { stdio: 'inherit', env: { ...process.env, ...env } }).status === 0
}
