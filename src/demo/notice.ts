/** The line about model and adapter, the progress of a load, and the banner of an error that concerns the whole page. */

import type { DeviceInfo, LLM, LoadProgress, WeirError } from '../index.ts'
import { announce, byId, setText } from './dom.ts'
import { DEFAULT_SETTINGS, isEmulated, type Settings } from './settings.ts'

export class Notice {
  readonly #progress = byId('load-progress', HTMLElement)
  readonly #progressText = byId('load-text', HTMLElement)
  readonly #bar = byId('load-bar', HTMLProgressElement)
  readonly #banner = byId('banner', HTMLElement)
  readonly #reload = byId('reload', HTMLButtonElement)
  readonly #line = byId('engine-line', HTMLElement)

  /** @param onReload `exact`: with the exact budget policy, in place of the one that was refused */
  constructor(onReload: (exact: boolean) => void) {
    this.#reload.addEventListener('click', () => onReload(this.#reload.dataset.exact === 'true'))
  }

  loading(progress?: LoadProgress): void {
    this.#banner.hidden = true
    this.#line.hidden = true
    this.#progress.hidden = false
    document.documentElement.dataset.engine = 'loading'
    setText(this.#progressText, progress ? progressText(progress) : 'Starting the engine')
    if (!progress) announce('Loading the model')
    if (progress && progress.total > 0) this.#bar.value = progress.loaded / progress.total
    else this.#bar.removeAttribute('value')
  }

  ready(llm: LLM, settings: Settings): void {
    const { model, device, memory } = llm
    this.#progress.hidden = true
    this.#line.hidden = false
    document.documentElement.dataset.engine = 'ready'
    announce('The model is ready')
    setText(byId('model-name', HTMLElement), model.name)
    setText(byId('model-facts', HTMLElement), `${count(model.parameters)} parameters${modelNote(settings.model)}`)
    setText(byId('device-name', HTMLElement), deviceName(device))
    setText(byId('memory', HTMLElement), megabytes(memory.totalBytes))
    const note = byId('device-note', HTMLElement)
    const text = deviceNote(device)
    note.hidden = text === ''
    setText(note, text)
  }

  /** An error that leaves the page without a working engine, which was to have these settings. */
  failed(error: WeirError, settings: Settings): void {
    this.#progress.hidden = true
    const unavailable = error.code === 'BACKEND_UNAVAILABLE'
    document.documentElement.dataset.engine = unavailable ? 'unavailable' : 'failed'
    // A replay needs no device.
    if (unavailable) byId('replay', HTMLDetailsElement).open = true
    this.#banner.hidden = false
    this.#banner.dataset.code = error.code
    this.#banner.scrollIntoView({ block: 'nearest' })
    setText(byId('banner-code', HTMLElement), error.code)
    setText(byId('banner-message', HTMLElement), error.message)
    const refused = error.code === 'BUDGET_EXCEEDED' && settings.policy !== 'exact'
    this.#reload.dataset.exact = `${refused}`
    setText(this.#reload, refused ? 'Load with the exact policy' : 'Load again')
  }
}

/** So that nobody takes a small model's stories for the runtime's fault. */
function modelNote(model: string): string {
  return model === DEFAULT_SETTINGS.model ? ': expect nonsense' : ''
}

function progressText(progress: LoadProgress): string {
  const { phase, file, loaded, total } = progress
  switch (phase) {
    case 'fetch':
      return `Loading ${file}, ${megabytes(loaded)}${total > 0 ? ` of ${megabytes(total)}` : ''}`
    case 'upload':
      return `Moving the weights to the device, ${megabytes(loaded)} of ${megabytes(total)}`
    case 'compile':
      return `Preparing the engine, ${loaded} of ${total}`
    case 'ready':
      return 'Ready'
  }
}

function deviceName(device: DeviceInfo): string {
  if (device.backend === 'wasm')
    return device.threads === 1 ? 'the processor' : `the processor, ${device.threads} threads`
  const { description, vendor, architecture } = device.adapter
  return description || [vendor, architecture].filter(Boolean).join(' ') || 'WebGPU adapter'
}

/** Why the engine does not run on a hardware GPU: the cause alone, as the advice after it is for whoever sets up the page. */
function deviceNote(device: DeviceInfo): string {
  if (isEmulated(device)) return '(a GPU that the processor emulates: slow)'
  return device.backend === 'wasm' ? `because ${device.reason.split(': ')[0]}` : ''
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function count(number: number): string {
  return number >= 1e9 ? `${(number / 1e9).toFixed(1)} billion` : `${(number / 1e6).toFixed(1)} million`
}
