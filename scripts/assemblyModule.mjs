// Vite plugin: `import bytes from '<path>.ts?wasm'` compiles a file of AssemblyScript and what it imports from its folder; the
// bytes are in the generated code, as base64. Compiling takes seconds, so the result is kept in node_modules/.cache under a
// hash of the sources, the compiler's version and its flags: a test run has many processes.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const CACHE = fileURLToPath(new URL('../node_modules/.cache/assembly/', import.meta.url))
const SUFFIX = '.ts?wasm'
/** Rollup's mark of a module that no other plugin resolves or transforms as a file. */
const VIRTUAL = '\0assembly:'
const FLAGS = ['-O3', '--runtime', 'stub', '--noAssert', '--enable', 'simd', '--importMemory', '--noExportMemory']

/** Compilations of this process by hash, so that projects of one process share them. @type {Map<string, Promise<Buffer>>} */
const compiled = new Map()

export function assemblyModule() {
  return {
    name: 'assembly-module',
    enforce: 'pre',
    resolveId(source, importer) {
      if (!source.endsWith(SUFFIX) || !importer) return null
      return `${VIRTUAL}${resolve(dirname(importer), source.slice(0, -SUFFIX.length))}.wasm`
    },
    async load(id) {
      if (!id.startsWith(VIRTUAL)) return null
      const entry = id.slice(VIRTUAL.length).replace(/\.wasm$/, '.ts')
      const sources = sourcesBeside(entry)
      for (const { path } of sources) this.addWatchFile(path)
      const base64 = (await compile(entry, sources)).toString('base64')
      return `export default Uint8Array.from(atob('${base64}'), (char) => char.charCodeAt(0))`
    },
  }
}

/** The sources that the entry may import. @param {string} entry */
function sourcesBeside(entry) {
  const folder = dirname(entry)
  const names = readdirSync(folder).filter((name) => name.endsWith('.ts'))
  return names.sort().map((name) => ({ path: join(folder, name), text: readFileSync(join(folder, name), 'utf8') }))
}

/**
 * @param {string} entry
 * @param {readonly { path: string, text: string }[]} sources
 */
function compile(entry, sources) {
  const { version } = createRequire(import.meta.url)('assemblyscript/package.json')
  const names = sources.map(({ path, text }) => [basename(path), text])
  const input = JSON.stringify([version, FLAGS, basename(entry), names])
  const hash = createHash('sha256').update(input).digest('hex')
  const running = compiled.get(hash) ?? cached(join(CACHE, `${hash}.wasm`), () => runCompiler(entry, sources))
  compiled.set(hash, running)
  return running
}

/** The content of a file, made first if it is missing. Written under another name, since processes may do so at once. */
async function cached(path, make) {
  if (existsSync(path)) return readFileSync(path)
  const bytes = await make()
  mkdirSync(dirname(path), { recursive: true })
  const unfinished = `${path}.${process.pid}`
  writeFileSync(unfinished, bytes)
  renameSync(unfinished, path)
  return Buffer.from(bytes)
}

/** @throws with the compiler's messages if the sources do not compile */
async function runCompiler(entry, sources) {
  const { default: asc } = await import('assemblyscript/asc')
  const texts = new Map(sources.map(({ path, text }) => [basename(path), text]))
  let bytes
  const { error, stderr } = await asc.main([basename(entry), '--outFile', 'out.wasm', ...FLAGS], {
    readFile: (name) => texts.get(name) ?? null,
    writeFile: (_name, content) => {
      bytes = content
    },
    listFiles: () => [],
  })
  if (error || !bytes) throw new Error(`${entry} does not compile:\n${stderr}`, { cause: error ?? undefined })
  return bytes
}
