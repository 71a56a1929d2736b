// Finds a Chromium-based browser, or installs one, and sets up its software Vulkan driver for Dawn in Node.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge']
const PLACES = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
]

/** Flags that give a headless Chromium a WebGPU adapter on a machine without a GPU. */
export const SOFTWARE_GPU_FLAGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader']
export const HEADLESS_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

/** The path of an installed browser, or undefined. WEIR_BROWSER overrides the search. */
export function installedBrowser() {
  if (process.env.WEIR_BROWSER) return process.env.WEIR_BROWSER
  const folders = (process.env.PATH ?? '').split(delimiter)
  const onPath = folders.flatMap((folder) => NAMES.map((name) => join(folder, name)))
  return [...onPath, ...PLACES, ...playwrightBrowsers()].find((path) => existsSync(path))
}

/** The path of a browser, installed if there is none; exits the process with a message if that fails. */
export function ensureBrowser() {
  const found = installedBrowser()
  if (found) return found
  if (process.platform === 'linux' && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    console.log('no browser found: running "apt-get update" and "apt-get install chromium"')
    const options = {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    }
    spawnSync('apt-get', ['update', '-qq'], options)
    spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], options)
  } else {
    console.log('no browser found: running "playwright-core install chromium"')
    const timeout = 180_000
    spawnSync('npx', ['playwright-core', 'install', 'chromium'], { stdio: 'inherit', timeout, shell: true })
  }
  const installed = installedBrowser()
  if (installed) return installed
  console.error('no browser: install Chrome, Chromium or Edge, or name one in WEIR_BROWSER, and run this again')
  process.exit(1)
}

/** Whether this machine has a hardware GPU that Dawn can use. */
export function hasGpu() {
  if (process.platform !== 'linux') return true
  if (existsSync('/proc/driver/nvidia/version')) return true
  return existsSync('/dev/dri') && readdirSync('/dev/dri').some((name) => name.startsWith('renderD'))
}

/**
 * Environment variables with which Dawn in Node finds an adapter; they must be set before Node starts. On a machine without a
 * GPU: the SwiftShader installed with the browser, and its Vulkan loader where the system has none.
 */
export function dawnEnvironment(browser) {
  if (process.env.VK_ICD_FILENAMES || process.env.VK_DRIVER_FILES || hasGpu()) return {}
  const icd = softwareDriver(browser)
  if (!icd) return {}
  const loader = spawnSync('ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? ''
  const folders = [dirname(icd), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':')
  return { VK_ICD_FILENAMES: icd, ...(loader.includes('libvulkan.so.1') ? {} : { LD_LIBRARY_PATH: folders }) }
}

function softwareDriver(browser) {
  const folders = [dirname(realpathSync(browser)), '/usr/lib/chromium', '/opt/google/chrome', '/opt/microsoft/msedge']
  return folders.map((folder) => join(folder, 'vk_swiftshader_icd.json')).find((path) => existsSync(path))
}

function playwrightBrowsers() {
  const cache = process.env.PLAYWRIGHT_BROWSERS_PATH ?? join(homedir(), '.cache', 'ms-playwright')
  if (!existsSync(cache)) return []
  return readdirSync(cache)
    .filter((name) => name.startsWith('chromium-'))
    .map((name) => join(cache, name, 'chrome-linux', 'chrome'))
}

/** The browser's name and version. */
export function browserVersion(browser) {
  try {
    return execFileSync(browser, ['--version'], { encoding: 'utf8' }).trim()
  } catch {
    return browser
  }
}
