/** The line about model and adapter, the progress of a load, and the banner of an error that concerns the whole page. */

import type { AdapterInfo, LLM, LoadProgress, WeirError } from '../index.ts'
import { byId, setText } from './dom.ts'
import { defaultBatchTokens, type Settings } from './settings.ts'

export class Notice {
  readonly #progress = byId('load-progress', HTMLElement)
  readonly #progressText = byId('load-text', HTMLElement)
  readonly #bar = byId('load-bar', HTMLProgressElement)
  readonly #banner = byId('banner', HTMLElement)
  readonly #line = byId('engine-line', HTMLElement)

  constructor(onReload: () => void) {
    byId('reload', HTMLButtonElement).addEventListener('click', onReload)
  }

  loading(progress?: LoadProgress): void {
    this.#banner.hidden = true
    this.#line.hidden = true
    this.#progress.hidden = false
    document.documentElement.dataset.engine = 'loading'
    setText(this.#progressText, progress ? progressText(progress) : 'Looking for a WebGPU adapter')
    if (progress && progress.total > 0) this.#bar.value = progress.loaded / progress.total
    else this.#bar.removeAttribute('value')
  }

  ready(llm: LLM, settings: Settings): void {
    const { model, adapter, memory, options } = llm
    this.#progress.hidden = true
    this.#line.hidden = false
    document.documentElement.dataset.engine = 'ready'
    const drafter = model.drafter ? ' with an MTP drafter' : ', no drafter'
    setText(byId('model-name', HTMLElement), model.name)
    setText(
      byId('model-facts', HTMLElement),
      `${millions(model.parameters)} parameters, ${model.layers} layers${drafter}`,
    )
    setText(byId('adapter-name', HTMLElement), adapterName(adapter))
    setText(byId('memory', HTMLElement), `${megabytes(memory.totalBytes)} on the device, all of it allocated at load`)
    const note = byId('software-note', HTMLElement)
    note.hidden = !adapter.software
    const chosen = settings.b === undefined
    const why = `This adapter is a CPU that stands in for a GPU: every row costs more, so `
    const what = chosen
      ? `the page chose B = ${options.maxNumBatchedTokens}; a GPU gets ${defaultBatchTokens({ ...adapter, software: false })}.`
      : `expect few tokens per second at B = ${options.maxNumBatchedTokens}.`
    setText(note, why + what)
  }

  /** An error that leaves the page without a working engine. */
  failed(error: WeirError): void {
    this.#progress.hidden = true
    const unavailable = error.code === 'BACKEND_UNAVAILABLE'
    document.documentElement.dataset.engine = unavailable ? 'unavailable' : 'failed'
    this.#banner.hidden = false
    this.#banner.dataset.code = error.code
    setText(byId('banner-code', HTMLElement), error.code)
    setText(byId('banner-message', HTMLElement), error.message)
    byId('webgpu-help', HTMLElement).hidden = !unavailable
  }
}

function progressText(progress: LoadProgress): string {
  const { phase, file, loaded, total } = progress
  switch (phase) {
    case 'fetch':
      return `Fetching ${file}: ${megabytes(loaded)}${total > 0 ? ` of ${megabytes(total)}` : ''}`
    case 'upload':
      return `Uploading weights: ${megabytes(loaded)} of ${megabytes(total)}`
    case 'compile':
      return `Compiling kernels: ${loaded} of ${total}`
    case 'ready':
      return 'Ready'
  }
}

function adapterName(adapter: AdapterInfo): string {
  const name =
    adapter.description || [adapter.vendor, adapter.architecture].filter(Boolean).join(' ') || 'WebGPU adapter'
  return adapter.software ? `${name}, software` : name
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function millions(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)} B` : `${(count / 1e6).toFixed(1)} M`
}
