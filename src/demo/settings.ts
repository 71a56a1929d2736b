/**
 * What the page's controls and its address say: a link reproduces a run. Values are passed on as given, so that a wrong
 * one is refused by the engine with its own words. It never knows the document.
 */

import type { BudgetPolicy, DeviceInfo, LoadOptions, SamplingFields } from '../index.ts'

export interface Settings {
  readonly model: string
  /** what computes: `webgpu`, `wasm` or `auto` */
  readonly backend: string
  /** B; undefined: the engine's default */
  readonly b: number | undefined
  /** S */
  readonly s: number
  readonly drafts: number
  readonly policy: string
  /** the engine chooses how many drafts pay, up to `drafts`; otherwise always so many */
  readonly adaptive: boolean
  /** record what led to each step */
  readonly trace: boolean
  readonly temperature: number
  /** of the first story; the next one's is one more */
  readonly seed: number
  /** new tokens of a story at most */
  readonly tokens: number
}

export const DEFAULT_SETTINGS: Settings = {
  model: 'models/fairy-tales/',
  backend: 'auto',
  b: undefined,
  // Sixteen openings, and room for stories of the visitor's own beside them.
  s: 20,
  drafts: 2,
  policy: 'exact',
  adaptive: true,
  trace: false,
  temperature: 0.8,
  seed: 7,
  tokens: 120,
}

/** Whether the engine runs on a GPU that the processor emulates, where a step takes ten times as long as elsewhere. */
export function isEmulated(device: DeviceInfo): boolean {
  return device.backend === 'webgpu' && device.adapter.software
}

export function readSettings(search: string): Settings {
  const query = new URLSearchParams(search)
  const number = (key: string, fallback: number) => {
    const text = query.get(key)
    return text === null || text === '' ? fallback : Number(text)
  }
  const flag = (key: string, fallback: boolean) => {
    const text = query.get(key)
    return text === '1' || text === '0' ? text === '1' : fallback
  }
  const b = query.get('b')
  return {
    model: query.get('model') ?? DEFAULT_SETTINGS.model,
    backend: query.get('backend') ?? DEFAULT_SETTINGS.backend,
    b: b === null || b === '' ? undefined : Number(b),
    s: number('s', DEFAULT_SETTINGS.s),
    drafts: number('drafts', DEFAULT_SETTINGS.drafts),
    policy: query.get('policy') ?? DEFAULT_SETTINGS.policy,
    adaptive: flag('adaptive', DEFAULT_SETTINGS.adaptive),
    trace: flag('trace', DEFAULT_SETTINGS.trace),
    temperature: number('temperature', DEFAULT_SETTINGS.temperature),
    seed: number('seed', DEFAULT_SETTINGS.seed),
    tokens: number('tokens', DEFAULT_SETTINGS.tokens),
  }
}

/** The query that `readSettings` reads back; what is as by default is left out. */
export function writeSettings(settings: Settings): string {
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(settings)) {
    const fallback = new Map<string, unknown>(Object.entries(DEFAULT_SETTINGS)).get(key)
    if (value === undefined || value === fallback) continue
    query.set(key, typeof value === 'boolean' ? `${Number(value)}` : String(value))
  }
  const text = query.toString().replaceAll('%2F', '/').replaceAll('%3A', ':')
  return text === '' ? '' : `?${text}`
}

export function engineOptions(settings: Settings): LoadOptions {
  const { b, drafts, adaptive } = settings
  return {
    // A backend or policy that does not exist is the engine's to refuse.
    backend: settings.backend as LoadOptions['backend'] & string,
    ...(b !== undefined && { maxNumBatchedTokens: b }),
    maxNumSeqs: settings.s,
    speculative: drafts === 0 ? undefined : { method: 'mtp', numSpeculativeTokens: drafts, adaptive },
    budgetPolicy: settings.policy as BudgetPolicy,
    debug: { trace: settings.trace },
  }
}

/** Sampling of the story at `index` since the page was set up. */
export function samplingFields(settings: Settings, index: number): SamplingFields {
  return {
    max_tokens: settings.tokens,
    temperature: settings.temperature,
    top_k: 50,
    top_p: 0.95,
    seed: settings.seed + index,
  }
}
