// Tests the packed library with the bundlers and set-ups of test/apps/setups.ts in a real browser, and prints a line for each.
// Bundlers are installed from npm's configured registry. Arguments: prefixes of the set-ups' names (default: all).
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { stripVTControlCharacters } from 'node:util'
import { ensureBrowser } from './browser.mjs'

const REPORT = 'out/test-apps.json'

const names = process.argv.slice(2)
const only = names.length > 0 ? ['-t', `^(${names.join('|')})`] : []
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${REPORT}`]
rmSync(REPORT, { force: true })
spawnSync('npx', ['vitest', 'run', '--project', 'apps', ...reporters, ...only], {
  stdio: 'inherit',
  env: { ...process.env, WEIR_BROWSER: ensureBrowser() },
})
if (!existsSync(REPORT)) process.exit(1)

const { testResults } = JSON.parse(readFileSync(REPORT, 'utf8'))
const tried = testResults
  .flatMap(({ assertionResults }) => assertionResults)
  .filter(({ status }) => status === 'passed' || status === 'failed')
for (const { title, status, duration = 0, failureMessages } of tried) {
  const seconds = `${(duration / 1000).toFixed(0)} s`
  console.log(
    `${title.padEnd(22)} ${status === 'passed' ? 'ok    ' : 'FAILED'} ${seconds.padStart(6)}  ${reason(failureMessages)}`,
  )
}
for (const { message } of testResults) if (message) console.log(reason([message]))
const failed = tried.filter(({ status }) => status === 'failed').length
console.log(`${tried.length - failed} passed, ${failed} failed`)
process.exit(tried.length === 0 || failed > 0 ? 1 : 0)

/** The message of a failure on one line, without its stack. */
function reason([message = '']) {
  const [text] = stripVTControlCharacters(message).split(/\n\s+at /)
  return text.replace(/\s+/g, ' ').slice(0, 400)
}
