/** The button that compares writing at once with one after another, its progress and its result. */

import { type LLM, WeirError } from '../index.ts'
import { type BatchingResult, compareBatching, timingText, verdict, type Way } from './batching.ts'
import { byId, element, setText } from './dom.ts'
import { OPENINGS } from './openings.ts'
import { isEmulated, type Settings, samplingFields } from './settings.ts'

/** Tokens of each story: a matter of seconds, on an emulated GPU too. */
const TOKENS = { emulated: 12, other: 64 }

export class BatchingPanel {
  readonly #compare = byId('compare', HTMLButtonElement)
  readonly #cancel = byId('cancel-comparison', HTMLButtonElement)
  readonly #progress = byId('batching-progress', HTMLElement)
  readonly #bar = byId('batching-bar', HTMLProgressElement)
  readonly #result = byId('batching-result', HTMLElement)
  readonly #verdict = byId('batching-verdict', HTMLElement)
  readonly #error = byId('batching-error', HTMLElement)
  #running: AbortController | undefined

  constructor(onCompare: () => void) {
    this.#compare.addEventListener('click', onCompare)
    this.#cancel.addEventListener('click', () => this.cancel())
  }

  get running(): boolean {
    return this.#running !== undefined
  }

  cancel(): void {
    this.#running?.abort()
  }

  /** Another engine is loaded: what was found of the last one is no longer told. */
  reset(): void {
    this.cancel()
    this.#show()
  }

  /** Compares on an engine that does nothing else meanwhile. Resolves with the error that ended it, if one did. */
  async run(llm: LLM, settings: Settings): Promise<WeirError | undefined> {
    const running = new AbortController()
    this.#running = running
    const max_tokens = isEmulated(llm.device) ? TOKENS.emulated : TOKENS.other
    const tasks = OPENINGS.map((prompt, index) => ({
      prompt,
      fields: { ...samplingFields(settings, index), max_tokens },
    }))
    const all = tasks.length * max_tokens
    this.#show()
    try {
      const result = await compareBatching(llm, tasks, running.signal, (way, tokens) => this.#say(way, tokens, all))
      this.#running = undefined
      this.#show(result, verdict(result, llm.options.maxNumSeqs))
      return undefined
    } catch (thrown) {
      this.#running = undefined
      const error = WeirError.from(thrown)
      const cancelled = error.code === 'ABORTED'
      this.#show(undefined, cancelled ? 'Cancelled.' : '')
      // What ends the engine is told by the page.
      this.#error.hidden = cancelled || error.fatal
      this.#error.replaceChildren(element('code', {}, error.code), ` ${error.message}`)
      return cancelled ? undefined : error
    }
  }

  #say(way: Way, tokens: number, all: number): void {
    setText(byId('batching-step', HTMLElement), `Writing ${way}`)
    this.#bar.value = (tokens + (way === 'at once' ? 0 : all)) / (2 * all)
  }

  #show(result?: BatchingResult, text = ''): void {
    const [shown, gone] = this.running ? [this.#cancel, this.#compare] : [this.#compare, this.#cancel]
    const focused = document.activeElement === gone
    this.#progress.hidden = !this.running
    shown.hidden = false
    gone.hidden = true
    if (focused) shown.focus()
    this.#error.hidden = true
    this.#result.hidden = !result
    setText(this.#verdict, text)
    if (this.running) {
      setText(byId('batching-step', HTMLElement), 'Writing at once')
      this.#bar.value = 0
    }
    if (!result) return
    const { atOnce, oneByOne } = result
    const longest = Math.max(atOnce.ms, oneByOne.ms)
    for (const [id, timing] of [
      ['batching-at-once', atOnce],
      ['batching-one-by-one', oneByOne],
    ] as const) {
      const target = byId(id, HTMLElement)
      setText(target, timingText(timing))
      target.style.setProperty('--part', `${(timing.ms / longest) * 100}%`)
    }
  }
}
