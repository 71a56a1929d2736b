/** Apps on the web: built and served from a folder, or served by a bundler's own server. It must never know which bundler. */

import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { delimiter, join } from 'node:path'
import { serveFolder } from '../helpers/browser.ts'

export interface Site {
  /** of the page */
  readonly url: string
  close(): Promise<void>
}

/** Where a command finds the port that its server is to have. */
export const PORT = '{port}'

const START_MS = 240_000
const POLL_MS = 250

/** Runs the app's own build, to its end. */
export async function build(folder: string, command: readonly string[]): Promise<void> {
  const { child, output } = start(folder, command)
  await ended(child)
  if (child.exitCode !== 0) throw new Error(`${command.join(' ')} failed:\n${output()}`)
}

/** A static server for a folder of the app. */
export async function serveBuilt(folder: string, root: string, page = ''): Promise<Site> {
  const { url, close } = await serveFolder(join(folder, root))
  return { url: url + page, close }
}

/** A bundler's own server, once it answers. */
export async function serveWith(folder: string, command: readonly string[]): Promise<Site> {
  const port = String(await freePort())
  const { child, output } = start(
    folder,
    command.map((argument) => argument.replace(PORT, port)),
  )
  const url = `http://127.0.0.1:${port}/`
  const close = () => end(child)
  const deadline = Date.now() + START_MS
  while (!(await answers(url))) {
    if (isRunning(child) && Date.now() < deadline) continue
    await close()
    throw new Error(`${command.join(' ')} does not answer:\n${output()}`)
  }
  return { url, close }
}

/** One of the app's installed commands, in a process group of its own, so that what it starts ends with it. */
function start(folder: string, [command = '', ...args]: readonly string[]) {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    // Not the test's: bundlers take it for a wish of the app's.
    NODE_ENV: undefined,
    VITEST: undefined,
    CI: 'true',
    NG_CLI_ANALYTICS: 'false',
    NEXT_TELEMETRY_DISABLED: '1',
    PATH: [join(folder, 'node_modules/.bin'), process.env.PATH].join(delimiter),
  }
  const child = spawn(command, args, { cwd: folder, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      text += chunk
    })
  }
  child.once('error', (error) => {
    text += error.message
  })
  return { child, output: () => text.slice(-2000) }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || !isRunning(child)) return
  process.kill(-child.pid, 'SIGTERM')
  await ended(child)
}

function isRunning({ pid, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && exitCode === null && signalCode === null
}

/** Settles when it has ended, or could not be started. */
async function ended(child: ChildProcess): Promise<void> {
  if (!isRunning(child)) return
  await new Promise((resolve) => child.once('exit', resolve))
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(url).catch(() => undefined)
  await response?.body?.cancel()
  if (response?.ok) return true
  await new Promise((resolve) => {
    setTimeout(resolve, POLL_MS)
  })
  return false
}

/** A port that nobody has right now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
