/** The packed package as TypeScript and Node have it: its types compile for whoever uses them, and importing it does nothing. */

import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import ts from 'typescript'
import { beforeAll, expect, it } from 'vitest'
import { unpackPackage } from '../helpers/packageSite.ts'

const FOLDER = 'out/consumer'

const APP = `
import 'weir-llm/worker'
import { type Generation, LLM, type LoadOptions, type Replay, WeirError } from 'weir-llm'
const controller = new AbortController()
const options: LoadOptions = {
  worker: () => new Worker(new URL('./own.js', 'https://page.test/'), { type: 'module' }),
  assets: new URL('https://page.test/weir/'),
  speculative: { method: 'mtp', numSpeculativeTokens: 2 },
  onProgress: ({ phase, loaded, total }) => console.log(phase, loaded / total),
  onStep: ({ ms }) => console.log(ms),
  signal: controller.signal,
}
export async function run(): Promise<string> {
  const llm = await LLM.load('/model/', options)
  const generation: Generation = llm.generate('Once', { max_tokens: 3, signal: controller.signal })
  for await (const { text } of generation) console.log(text)
  const replay: Replay = await LLM.replay(await llm.trace(), { assets: '/weir/' })
  console.log(replay.plans, (await llm.stats()).kernels)
  await llm.dispose()
  return new WeirError('ABORTED', '').code
}
`

const USING = `
import { LLM } from 'weir-llm'
export async function run(): Promise<void> {
  await using llm = await LLM.load('/model/')
  console.log(llm.model.name)
}
`

beforeAll(() => {
  unpackPackage(FOLDER)
  mkdirSync(`${FOLDER}/node_modules`)
  renameSync(`${FOLDER}/package`, `${FOLDER}/node_modules/weir-llm`)
  writeFileSync(`${FOLDER}/package.json`, '{ "type": "module" }')
  writeFileSync(`${FOLDER}/app.ts`, APP)
  writeFileSync(`${FOLDER}/using.ts`, USING)
})

/** Libraries are parsed once, and not checked themselves: they are TypeScript's own. */
const libraries = new Map<string, ts.SourceFile | undefined>()

function complaints(file: string, options: ts.CompilerOptions): string[] {
  const all: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.dom.iterable.d.ts'],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    noEmit: true,
    ...options,
  }
  const host = ts.createCompilerHost(all)
  const read = host.getSourceFile
  host.getSourceFile = (name, ...rest) => {
    if (!/\/lib\.[^/]*$/.test(name)) return read(name, ...rest)
    if (!libraries.has(name)) libraries.set(name, read(name, ...rest))
    return libraries.get(name)
  }
  const program = ts.createProgram([resolve(FOLDER, file)], all, host)
  const ours = program.getSourceFiles().filter((source) => !program.isSourceFileDefaultLibrary(source))
  expect(ours.length).toBeGreaterThan(5)
  const found = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...ours.flatMap((source) => [
      ...program.getSyntacticDiagnostics(source),
      ...program.getSemanticDiagnostics(source),
    ]),
  ]
  return found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

const BUNDLER = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler }
const NODE16 = { module: ts.ModuleKind.Node16, moduleResolution: ts.ModuleResolutionKind.Node16 }

it('types compile with the library of ES2022 and the DOM, for bundlers and Node', () => {
  expect(complaints('app.ts', BUNDLER)).toEqual([])
  expect(complaints('app.ts', NODE16)).toEqual([])
})

it('`await using` is typed where TypeScript has it', () => {
  const lib = ['lib.es2022.d.ts', 'lib.dom.d.ts', 'lib.esnext.disposable.d.ts']
  expect(complaints('using.ts', { ...BUNDLER, lib })).toEqual([])
})

it('Node imports it without effect, and a load says where there are workers', () => {
  const script = `
    const before = Object.keys(globalThis).join()
    const { LLM, WeirError } = await import('weir-llm')
    if (Object.keys(globalThis).join() !== before) throw new Error('the import left something behind')
    const error = await LLM.load('models/tiny/').catch((thrown) => thrown)
    console.log(error instanceof WeirError, error.code)`
  const output = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { cwd: FOLDER })
  expect(output.toString().trim()).toBe('true BACKEND_UNAVAILABLE')
})
