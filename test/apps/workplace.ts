/**
 * Apps outside the repository, as a user has them: the packed library and a bundler installed from the registry that npm is
 * configured with. Bundlers stay installed from run to run; all else is made anew. It must never know what an app does.
 */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const WORKPLACE = join(tmpdir(), 'weir-apps')
const FIXTURES = 'test/apps/fixtures'

/** What an app is made of. */
export interface AppSource {
  /** packages beside the library, as npm takes them */
  readonly packages: readonly string[]
  /** folder of its files; default: none but those of all apps */
  readonly fixture?: string
}

/** Packs the library as it is published, built anew. @returns the tarball, under another name whenever its content is another */
export function packLibrary(): string {
  const folder = join(WORKPLACE, 'package')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  npm(process.cwd(), ['pack', '--pack-destination', folder])
  const [packed = ''] = readdirSync(folder)
  const tarball = join(folder, packed)
  const hash = createHash('sha256').update(readFileSync(tarball)).digest('hex').slice(0, 12)
  const named = join(folder, `${hash}.tgz`)
  renameSync(tarball, named)
  return named
}

/** A fresh app with everything installed. @returns its folder */
export function makeApp(name: string, { packages, fixture }: AppSource, tarball: string): string {
  const folder = join(WORKPLACE, name)
  mkdirSync(folder, { recursive: true })
  for (const entry of readdirSync(folder)) {
    if (entry !== 'node_modules') rmSync(join(folder, entry), { recursive: true })
  }
  // Of what is installed everything stays but the library, npm's list of what is there, and what bundlers keep for themselves.
  for (const entry of ['weir-llm', '.package-lock.json', '.vite', '.cache']) {
    rmSync(join(folder, 'node_modules', entry), { recursive: true, force: true })
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name, private: true, type: 'module' }))
  if (fixture) cpSync(join(FIXTURES, fixture), folder, { recursive: true })
  cpSync(join(FIXTURES, 'run.js'), join(folder, 'run.js'))
  cpSync('public/models/qwen3-mtp', join(folder, 'public/model'), { recursive: true })
  // Browsers trust the date of a file, and so cache parts of it, only once it is a minute old.
  utimesSync(join(folder, 'public/model/model.safetensors'), 0, 0)
  npm(folder, ['install', '--no-audit', '--no-fund', '--prefer-offline', ...packages, `weir-llm@file:${tarball}`])
  return folder
}

/** A text file of the app. */
export function write(folder: string, path: string, text: string): void {
  mkdirSync(join(folder, path, '..'), { recursive: true })
  writeFileSync(join(folder, path), text)
}

/** The library's files as they were installed, put to where a server finds them. */
export function copyLibrary(folder: string, target: string): void {
  const installed = join(folder, 'node_modules/weir-llm/dist')
  if (!existsSync(installed)) throw new Error(`${installed} is not there`)
  cpSync(installed, join(folder, target), { recursive: true })
}

function npm(folder: string, args: readonly string[]): string {
  return execFileSync('npm', [...args, '--loglevel=error'], { cwd: folder, encoding: 'utf8', maxBuffer: 2 ** 26 })
}
