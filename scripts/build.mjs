// Builds the library to dist/ and the page to site/, then checks the package. Argument `library` or `page`: only that one.
// dist/ holds two self-contained ES modules and the types; index.js finds worker.js beside itself by relative URL.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'

const GZIP_LIMIT = 100 * 1024
const WORKER_URL = "new URL('./worker.js', import.meta.url)"

const only = process.argv[2]
if (only !== 'page') await buildLibrary()
if (only !== 'library') await buildPage()

async function buildLibrary() {
  rmSync('dist', { recursive: true, force: true })
  const sources = [
    ...(await buildModule('worker', 'src/worker/main.ts')),
    ...(await buildModule('index', 'src/index.ts', [workerBesideIndex()])),
  ]
  writeFileSync('dist/LICENSES.txt', bundledLicenses(sources))
  run('tsc', ['-p', 'scripts/tsconfig.types.json'])
  keepPublicTypes('dist', 'index.d.ts')
  reportSizes(['dist/index.js', 'dist/worker.js'])
  run('publint', ['--strict'])
  run('attw', ['--pack', '--profile', 'esm-only', '--format', 'ascii', '--no-color', '--no-emoji', '--no-summary'])
}

async function buildPage() {
  if (!existsSync('index.html')) {
    console.log('no index.html: the page is not built')
    return
  }
  await build({ logLevel: 'warn' })
  console.log('page: site/')
}

/** One entry with everything it imports in one file. Returns the files that went into it. */
async function buildModule(name, entry, plugins = []) {
  const results = await build({
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    plugins,
    build: {
      outDir: 'dist',
      emptyOutDir: false,
      target: 'es2023',
      lib: { entry, formats: ['es'], fileName: () => `${name}.js` },
      rolldownOptions: { output: { codeSplitting: false, minify: true } },
    },
  })
  return results.flatMap((result) => result.output.flatMap((file) => file.moduleIds ?? []))
}

/** The licences of the packages that were bundled, which ask to go with the code. */
function bundledLicenses(sources) {
  const folders = sources.map((file) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0]).filter(Boolean)
  return [...new Set(folders)]
    .map((folder) => {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      return `${name} ${version}\n\n${readFileSync(join(folder, 'LICENSE'), 'utf8')}`
    })
    .join('\n\n')
}

/**
 * The worker is a file of its own, built separately: the URL of its source becomes that of the file, in the form that other
 * bundlers look for. It is put back only after Vite has looked for workers to bundle itself.
 */
function workerBesideIndex() {
  const source = "new URL('../worker/main.ts', import.meta.url)"
  const placeholder = '__WEIR_WORKER_URL__'
  let found = 0
  return {
    name: 'worker-beside-index',
    enforce: 'pre',
    transform(code) {
      if (!code.includes(source)) return null
      found += 1
      return { code: code.replace(source, placeholder), map: null }
    },
    generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type === 'chunk') file.code = file.code.replace(placeholder, WORKER_URL)
      }
      if (found !== 1) this.error(`expected one ${source} in src, found ${found}`)
    },
  }
}

/**
 * Keeps the declarations that `entry` reaches. Their imports are of `.ts` files; a package has `.d.ts` files, which are imported
 * as `.js`.
 */
function keepPublicTypes(folder, entry) {
  const reached = [join(folder, entry)]
  for (const path of reached) {
    const text = readFileSync(path, 'utf8').replace(/(['"]\.{1,2}\/[^'"]+)\.ts(['"])/g, '$1.js$2')
    writeFileSync(path, text)
    for (const [, imported] of text.matchAll(/['"](\.{1,2}\/[^'"]+)\.js['"]/g)) {
      const next = join(path, '..', `${imported}.d.ts`)
      if (!reached.includes(next)) reached.push(next)
    }
  }
  const all = readdirSync(folder, { recursive: true }).map((path) => join(folder, path))
  for (const path of all) if (path.endsWith('.d.ts') && !reached.includes(path)) rmSync(path)
}

function reportSizes(paths) {
  let total = 0
  for (const path of paths) {
    const bytes = readFileSync(path)
    const gzipped = gzipSync(bytes, { level: 9 }).length
    total += gzipped
    console.log(`${path}: ${kib(bytes.length)}, gzipped ${kib(gzipped)}`)
  }
  console.log(`together gzipped ${kib(total)} of ${kib(GZIP_LIMIT)}`)
  if (total > GZIP_LIMIT) fail('the library is too large')
  if (!readFileSync('dist/index.js', 'utf8').includes(WORKER_URL)) fail('dist/index.js does not name its worker')
}

function kib(bytes) {
  return `${(bytes / 1024).toFixed(1)} KiB`
}

function run(command, args) {
  const { status } = spawnSync('npx', ['--no-install', command, ...args], { stdio: 'inherit' })
  if (status !== 0) fail(`${command} failed`)
}

function fail(message) {
  console.error(`build: ${message}`)
  process.exit(1)
}
