// Mutation tests of the scheduler: applies one mutation at a time to a copy of the tree, and checks that the test named for it
// fails. The mutations are in test/mutations/*.mjs; `--write` regenerates their table, test/node/mutations.md. Other arguments
// select mutations by words. Exit status 1 if a mutation survives or no longer applies, or its test fails in the unmutated copy.
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { BLOCKS } from '../test/mutations/blocks.mjs'
import { ENGINE } from '../test/mutations/engine.mjs'
import { HOST } from '../test/mutations/host.mjs'
import { ORDER } from '../test/mutations/order.mjs'
import { ROWS } from '../test/mutations/rows.mjs'

/** @typedef {import('../test/mutations/rows.mjs').Mutation} Mutation */

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const PAGE = join(ROOT, 'test/node/mutations.md')
const PARTS = {
  Rows: ROWS,
  'Blocks and the prefix cache': BLOCKS,
  'Order, admission and preemption': ORDER,
  Engine: ENGINE,
  'The step on the host': HOST,
}
const MUTATIONS = Object.values(PARTS).flat()

/** Copied, not linked: a linked file would resolve its imports in the original tree. */
const COPIED = [
  ...['src', 'test', 'shaders', 'assembly', 'scripts'],
  ...['package.json', 'tsconfig.json', 'vite.config.ts', 'vitest.config.ts'],
]

/** Time limit of one run of Vitest in milliseconds. A timeout does not count as caught: name a test that fails instead. */
const LIMIT = 180_000

/** A fixed seed, so that property tests catch a mutation reproducibly, and no shrinking. */
const SEED = `import fc from 'fast-check'\nfc.configureGlobal({ seed: 1, endOnFailure: true })\n`

const write = process.argv.includes('--write')
const wanted = process.argv.slice(2).filter((argument) => argument !== '--write')
const chosen = MUTATIONS.filter(({ words }) => wanted.every((part) => words.includes(part)))

const start = performance.now()
const faults = [...MUTATIONS.flatMap(misfits), ...pageFaults()]
if (chosen.length === 0) faults.push(`no mutation has the words ${wanted.join(' ')}`)
if (faults.length > 0) {
  console.error(faults.join('\n'))
  process.exit(1)
}

const copy = mkdtempSync(join(tmpdir(), 'weir-mutations-'))
let failed = true
try {
  makeCopy()
  failed = !unbrokenPasses() || runAll() > 0
} finally {
  rmSync(copy, { recursive: true, force: true })
}
process.exit(failed ? 1 : 0)

/** Runs each chosen mutation. @returns how many survived */
function runAll() {
  const survivors = chosen.filter((mutation) => !isCaught(mutation))
  const seconds = ((performance.now() - start) / 1000).toFixed(0)
  console.log(`\n${chosen.length - survivors.length} of ${chosen.length} caught, ${seconds} s`)
  for (const { file, words } of survivors) console.log(`SURVIVED  ${file}: ${words}`)
  return survivors.length
}

/** @param {Mutation} mutation */
function isCaught(mutation) {
  const { words, file, from, to, test, title } = mutation
  const path = join(copy, 'src', file)
  const sound = readFileSync(path, 'utf8')
  writeFileSync(
    path,
    sound.replace(from, () => to),
  )
  const { tests, trouble } = vitest([test], [title])
  writeFileSync(path, sound)
  const failure = tests.find(({ status }) => status === 'failed')
  console.log(`${failure ? 'caught  ' : 'SURVIVED'}  ${file}: ${words}`)
  if (!failure) console.log(`          ${trouble ?? `passes: ${title}`}`)
  else console.log(`          ${test}: ${failure.fullName}\n          ${firstLine(failure.failureMessages[0])}`)
  return failure !== undefined
}

/** Whether each named test exists and passes in the unmutated copy. */
function unbrokenPasses() {
  const files = [...new Set(chosen.map(({ test }) => test))]
  const { tests, trouble } = vitest(files, [...new Set(chosen.map(({ title }) => title))])
  if (trouble) console.error(trouble)
  const failures = tests.filter(({ status }) => status === 'failed')
  for (const { fullName } of failures) console.error(`fails without any mutation: ${fullName}`)
  const absent = chosen.filter(({ test, title }) => {
    return !tests.some((one) => one.file === test && one.status === 'passed' && one.fullName.includes(title))
  })
  for (const { test, title } of absent) console.error(`does not pass, or is not there: ${test}: ${title}`)
  return !trouble && failures.length + absent.length === 0
}

/**
 * Runs tests of the copy.
 * @param {string[]} files under test/node
 * @param {string[]} titles parts of full names
 */
function vitest(files, titles) {
  const report = join(copy, 'report.json')
  rmSync(report, { force: true })
  const pattern = titles.map((title) => title.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|')
  const paths = files.map((file) => `test/node/${file}`)
  const filters = ['--root', copy, '--project', 'node', '-t', pattern, ...paths]
  const output = ['--reporter=json', `--outputFile=${report}`]
  const { error, stdout, stderr } = spawnSync(
    process.execPath,
    [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', ...filters, ...output],
    { cwd: copy, encoding: 'utf8', timeout: LIMIT },
  )
  if (error || !existsSync(report)) return { tests: [], trouble: error?.message ?? `no report\n${stdout}${stderr}` }
  const { testResults } = JSON.parse(readFileSync(report, 'utf8'))
  const tests = testResults.flatMap(({ name, assertionResults }) => {
    const file = files.find((one) => name.replaceAll('\\', '/').endsWith(`/test/node/${one}`))
    return assertionResults.map((result) => ({ ...result, file }))
  })
  const unread = testResults.find(({ assertionResults }) => assertionResults.length === 0)
  return { tests, trouble: unread && `did not load: ${unread.name}: ${firstLine(unread.message)}` }
}

function makeCopy() {
  for (const name of COPIED) cpSync(join(ROOT, name), join(copy, name), { recursive: true })
  symlinkSync(join(ROOT, 'public'), join(copy, 'public'), 'junction')
  // Links each package rather than node_modules, so that caches of tools are written to the copy.
  mkdirSync(join(copy, 'node_modules'))
  for (const name of readdirSync(join(ROOT, 'node_modules'))) {
    if (name.startsWith('.')) continue
    symlinkSync(join(ROOT, 'node_modules', name), join(copy, 'node_modules', name), 'junction')
  }
  writeFileSync(join(copy, 'seed.mjs'), SEED)
  replaceOnce(join(copy, 'vitest.config.ts'), "name: 'node', ", "name: 'node', setupFiles: ['./seed.mjs'], ")
}

/** @returns the original text */
function replaceOnce(path, from, to) {
  const text = readFileSync(path, 'utf8')
  const times = text.split(from).length - 1
  if (times !== 1) throw new Error(`${path} has ${JSON.stringify(from)} ${times} times, not once`)
  writeFileSync(
    path,
    text.replace(from, () => to),
  )
  return text
}

/** The faults of an entry of the list. @param {Mutation} mutation */
function misfits({ words, file, from, to }) {
  const times = readFileSync(join(ROOT, 'src', file), 'utf8').split(from).length - 1
  const found = times === 1 ? [] : [`src/${file} has the text of "${words}" ${times} times, not once`]
  return from === to ? [...found, `"${words}" changes nothing`] : found
}

/** Compares mutations.md with the list, or writes it. */
function pageFaults() {
  const [introduction = ''] = readFileSync(PAGE, 'utf8').split(/^## /m)
  const sections = Object.entries(PARTS).map(([name, mutations]) => {
    const rows = mutations.map(({ words, file, test, title }) => `| ${words} | \`${file}\` | \`${test}\`: ${title} |`)
    return [`## ${name}`, '', '| mutation | file | caught by |', '| --- | --- | --- |', ...rows, ''].join('\n')
  })
  const page = `${introduction}${sections.join('\n')}`
  if (write) writeFileSync(PAGE, page)
  return readFileSync(PAGE, 'utf8') === page
    ? []
    : ['test/node/mutations.md is not what the list says: run with --write']
}

/** @param {string | undefined} message */
function firstLine(message = '') {
  const [line = ''] = message.split('\n')
  return line.slice(0, 160)
}
