/** Types of browser.mjs, for tests. */

export const SOFTWARE_GPU_FLAGS: readonly string[]
export const HEADLESS_FLAGS: readonly string[]
export function installedBrowser(): string | undefined
export function ensureBrowser(): string
export function hasGpu(): boolean
export function dawnEnvironment(browser: string): Record<string, string>
export function browserVersion(browser: string): string
