/** The other runtimes, installed from the registry when the benchmark runs: they are no dependencies of the repository. */

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'

const FOLDER = 'out/bench/peers'
const MODULES = `${FOLDER}/node_modules`

/** Exact versions. */
export const PEERS = { '@huggingface/transformers': '4.3.1', '@wllama/wllama': '3.13.0' } as const

/** Installs what is not there yet. @returns the folder of the packages */
export function installPeers(): string {
  const missing = Object.entries(PEERS).filter(([name, version]) => installed(name) !== version)
  if (missing.length > 0) {
    mkdirSync(FOLDER, { recursive: true })
    const packages = missing.map(([name, version]) => `${name}@${version}`)
    console.log(`installing ${packages.join(' and ')} into ${FOLDER}`)
    // Their install scripts fetch binaries for Node, which a browser does not need.
    const flags = ['--prefix', FOLDER, '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund']
    const { status } = spawnSync('npm', ['install', ...flags, ...packages], {
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: process.platform === 'win32',
    })
    if (status !== 0) throw new Error(`${packages.join(' and ')} could not be installed`)
  }
  return MODULES
}

/** The version of an installed package. */
export function installed(name: string): string | undefined {
  const path = `${MODULES}/${name}/package.json`
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).version : undefined
}
