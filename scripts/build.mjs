// Builds the library to dist/ and the page to site/, then checks the package. Argument `library` or `page`: only that one.
// dist/ holds self-contained ES modules and the types: index.js; worker.js, which index.js finds beside itself by relative URL; its
// text in workerText.js, for pages that cannot load it as a file; and what the worker loads when it is needed: replay.js, ort.mjs and
// the files of ONNX Runtime.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'vite'
import { assemblyModule } from './assemblyModule.mjs'
import { ORT_RESOLVE } from './ortResolve.mjs'

const GZIP_LIMIT = 120 * 1024
/** of ort.mjs: with a copy of the WebAssembly file inside it would be megabytes */
const ORT_GZIP_LIMIT = 40 * 1024
const ORT_DIST = 'node_modules/onnxruntime-web/dist'
const ORT_FILE = 'ort-wasm-simd-threaded'
/** URLs in the sources, and their replacements in dist/, in the form that other bundlers recognise. */
const FILE_URLS = new Map([
  ["new URL('../../worker/main.ts', import.meta.url)", "new URL('./worker.js', import.meta.url)"],
  ["new URL('../../worker/replay.ts', import.meta.url)", "new URL('./replay.js', import.meta.url)"],
  ["new URL('../../ort/ortBackend.ts', import.meta.url)", "new URL('./ort.mjs', import.meta.url)"],
  ...['wasm', 'mjs'].map((kind) => [
    `new URL('../../../${ORT_DIST}/${ORT_FILE}.${kind}', import.meta.url)`,
    `new URL('./${ORT_FILE}.${kind}', import.meta.url)`,
  ]),
])

const only = process.argv[2]
if (only !== 'page') await buildLibrary()
if (only !== 'library') await buildPage()

async function buildLibrary() {
  rmSync('dist', { recursive: true, force: true })
  const sources = []
  // Bundlers that copy files parse .js as scripts, where `import.meta` of ONNX Runtime is an error, and .mjs as modules.
  const entries = {
    'whole.js': 'worker/whole',
    'worker.js': 'worker/main',
    'replay.js': 'worker/replay',
    'ort.mjs': 'ort/ortBackend',
  }
  for (const [file, entry] of Object.entries(entries)) sources.push(...(await buildModule(file, `src/${entry}.ts`)))
  for (const kind of ['wasm', 'mjs']) copyFileSync(`${ORT_DIST}/${ORT_FILE}.${kind}`, `dist/${ORT_FILE}.${kind}`)
  const workerText = readFileSync('dist/whole.js', 'utf8')
  rmSync('dist/whole.js')
  // A worker made from a Blob cannot resolve relative URLs.
  if (/sourceMappingURL|import\.meta|import\(['"`.]/.test(workerText))
    fail('the copy of the worker must be self-contained')
  if (!readFileSync('dist/worker.js', 'utf8').includes('webpackIgnore'))
    fail('worker.js imports without webpackIgnore: bundlers would resolve it')
  const define = { WORKER_TEXT: JSON.stringify(workerText) }
  sources.push(
    ...(await buildModule('index.js', 'src/index.ts', { plugins: [filesBesideIndex()], define, split: true })),
  )
  writeFileSync('dist/LICENSES.txt', bundledLicenses(sources))
  run('tsc', ['-p', 'scripts/tsconfig.types.json'])
  keepPublicTypes('dist', 'index.d.ts')
  writeFileSync('dist/worker.d.ts', 'export {}\n')
  reportSizes(
    ['dist/index.js', 'dist/worker.js'],
    ['workerText.js', 'replay.js', 'ort.mjs', `${ORT_FILE}.mjs`, `${ORT_FILE}.wasm`].map((file) => `dist/${file}`),
  )
  const tarball = pack()
  run('publint', [tarball, '--strict'])
  run('attw', [tarball, '--profile', 'esm-only', '--format', 'ascii', '--no-color', '--no-emoji', '--no-summary'])
}

async function buildPage() {
  if (!existsSync('index.html')) {
    console.log('no index.html: the page is not built')
    return
  }
  await build({ logLevel: 'warn' })
  console.log('page: site/')
}

/** Builds one entry, as a single file unless `split`. @returns the source files that it includes */
async function buildModule(file, entry, { plugins = [], define = {}, split = false } = {}) {
  const results = await build({
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    plugins: [assemblyModule(), ...plugins],
    resolve: ORT_RESOLVE,
    define,
    build: {
      outDir: 'dist',
      emptyOutDir: false,
      target: 'es2023',
      lib: { entry, formats: ['es'], fileName: () => file },
      rolldownOptions: { output: { codeSplitting: split, chunkFileNames: '[name].js', minify: true } },
    },
  })
  return results.flatMap((result) => result.output.flatMap((file) => file.moduleIds ?? []))
}

/** The licences of the bundled packages, which must be distributed with the code. */
function bundledLicenses(sources) {
  const folders = sources.map((file) => /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(file)?.[0]).filter(Boolean)
  return [...new Set(folders)]
    .map((folder) => {
      const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
      const own = join(folder, 'LICENSE')
      // ONNX Runtime's packages come without theirs.
      const file = existsSync(own) ? own : `scripts/licenses/${name.replace(/-(web|common)$/, '')}.txt`
      return `${name} ${version}\n\n${readFileSync(file, 'utf8')}`
    })
    .join('\n\n')
}

/**
 * Replaces the URLs of the worker's sources by those of their separately built files. A placeholder stands in for them until the
 * bundle is generated, so that Vite does not bundle workers and assets itself.
 */
function filesBesideIndex() {
  const urls = [...FILE_URLS].map(([source, file], index) => ({ source, file, placeholder: `__WEIR_FILE_${index}__` }))
  const found = new Set()
  return {
    name: 'files-beside-index',
    enforce: 'pre',
    transform(code) {
      const here = urls.filter(({ source }) => code.includes(source))
      for (const { source } of here) found.add(source)
      if (here.length === 0) return null
      return {
        code: here.reduce((text, { source, placeholder }) => text.replace(source, placeholder), code),
        map: null,
      }
    },
    generateBundle(_options, bundle) {
      for (const output of Object.values(bundle)) {
        if (output.type !== 'chunk') continue
        for (const { file, placeholder } of urls) output.code = output.code.replace(placeholder, file)
        // The minifier writes backticks, which not every bundler recognises as a file name.
        output.code = output.code.replace(/import\(`([^`$]+)`\)/g, "import('$1')")
      }
      if (found.size !== urls.length) this.error(`of ${urls.map(({ source }) => source)} src has ${[...found]}`)
    },
  }
}

/**
 * Removes the declarations that `entry` does not import, directly or indirectly, and rewrites imports of `.ts` to `.js`, which
 * resolve to `.d.ts` in a package.
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

/** @param always files that every page loads @param onNeed files loaded only when needed */
function reportSizes(always, onNeed) {
  const total = always.reduce((sum, path) => sum + reportSize(path), 0)
  console.log(`together gzipped ${kib(total)} of ${kib(GZIP_LIMIT)}; loaded on need:`)
  const sizes = new Map(onNeed.map((path) => [path, reportSize(path)]))
  if (total > GZIP_LIMIT) fail('the library is too large')
  if (sizes.get('dist/ort.mjs') > ORT_GZIP_LIMIT) fail('dist/ort.mjs is too large')
  const index = readFileSync('dist/index.js', 'utf8')
  for (const url of [...FILE_URLS.values(), "import('./workerText.js')"])
    if (!index.includes(url)) fail(`dist/index.js does not name ${url}`)
}

function reportSize(path) {
  const bytes = readFileSync(path)
  const gzipped = gzipSync(bytes, { level: 9 }).length
  console.log(`${path}: ${kib(bytes.length)}, gzipped ${kib(gzipped)}`)
  return gzipped
}

/** Packs the tarball: without running its scripts, which would build again, and even when called under `npm --dry-run`. */
function pack() {
  const folder = 'out/pack'
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const flags = ['--ignore-scripts', '--dry-run=false', '--pack-destination', folder]
  const { status } = spawnSync('npm', ['pack', ...flags], { stdio: ['ignore', 'ignore', 'ignore'] })
  const [tarball] = readdirSync(folder)
  if (status !== 0 || !tarball) fail('npm pack failed')
  return join(folder, tarball)
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
