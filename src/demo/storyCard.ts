/** One story: its opening, the text as it comes, its state, a button that stops it. Knows one generation, not the engine. */

import { requestColour } from '../chart/theme.ts'
import { type Generation, type GenerationResult, WeirError } from '../index.ts'
import { element, type FrameQueue, setText } from './dom.ts'
import type { PageTheme } from './theme.ts'

export type StoryState = 'ready' | 'waiting' | 'streaming' | 'done' | 'stopped' | 'error'

/** What a reader is told. */
export const STATE_NAMES: Readonly<Record<StoryState, string>> = {
  ready: 'ready',
  waiting: 'waiting',
  streaming: 'streaming',
  done: 'done',
  stopped: 'stopped',
  error: 'failed',
}

interface Progress {
  readonly state: StoryState
  readonly tokens: number
  readonly note: string
  readonly id?: number
  readonly error?: WeirError
}

export class StoryCard {
  readonly element: HTMLElement
  readonly opening: string
  readonly #frames: FrameQueue
  readonly #theme: PageTheme
  readonly #parts: CardParts
  readonly #abort = new AbortController()
  #onState = () => {}
  /** text that came since the last frame */
  #pending = ''
  #progress: Progress = { state: 'ready', tokens: 0, note: '' }

  constructor(opening: string, number: number, frames: FrameQueue, theme: PageTheme) {
    this.opening = opening
    this.#frames = frames
    this.#theme = theme
    this.#parts = cardParts(opening, number)
    this.element = this.#parts.card
    this.#parts.stop.addEventListener('click', () => this.stop())
    this.#draw()
  }

  get state(): StoryState {
    return this.#progress.state
  }

  /** To be given to the generation that this card is going to follow. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  stop(): void {
    this.#abort.abort()
  }

  repaint(): void {
    this.#frames.request(this.#draw)
  }

  /** Shows a generation to its end. Resolves with the error that ended it, if one did. `onState` hears of every change of state. */
  async follow(generation: Generation, onState: () => void): Promise<WeirError | undefined> {
    this.#onState = onState
    this.#update({ state: 'waiting', id: generation.id })
    try {
      for await (const part of generation) {
        this.#pending += part.text
        this.#update({ state: 'streaming', tokens: this.#progress.tokens + part.token_ids.length })
      }
      this.#update(ending(await generation.result()))
      return undefined
    } catch (thrown) {
      const error = WeirError.from(thrown)
      const stopped = error.code === 'ABORTED'
      this.#update(stopped ? { state: 'stopped' } : { state: 'error', error })
      return stopped ? undefined : error
    }
  }

  #update(progress: Partial<Progress>): void {
    const { state } = this.#progress
    this.#progress = { ...this.#progress, ...progress }
    if (this.#progress.state !== state) this.#onState()
    this.#frames.request(this.#draw)
  }

  readonly #draw = (): void => {
    const { card, text, status, stop, count, note, error } = this.#parts
    const progress = this.#progress
    const active = progress.state === 'waiting' || progress.state === 'streaming'
    card.dataset.state = progress.state
    card.dataset.tokens = `${progress.tokens}`
    if (progress.id !== undefined) {
      card.style.setProperty('--request', requestColour(progress.id, this.#theme.current))
    }
    setText(status, STATE_NAMES[progress.state])
    setText(count, progress.tokens === 1 ? '1 token' : `${progress.tokens} tokens`)
    setText(note, progress.note)
    stop.hidden = !active
    error.hidden = !progress.error
    if (progress.error) {
      setText(error.code, progress.error.code)
      // What ended every story at once is told once, by the page.
      setText(error.message, progress.error.fatal ? '' : progress.error.message)
    }
    if (this.#pending === '') return
    text.node.appendData(this.#pending)
    this.#pending = ''
    text.box.scrollTop = text.box.scrollHeight
  }
}

interface CardParts {
  readonly card: HTMLElement
  readonly text: { readonly box: HTMLElement; readonly node: Text }
  readonly status: HTMLElement
  readonly stop: HTMLButtonElement
  readonly count: HTMLElement
  readonly note: HTMLElement
  readonly error: HTMLElement & { readonly code: HTMLElement; readonly message: HTMLElement }
}

function cardParts(opening: string, number: number): CardParts {
  const status = element('span', { class: 'status', 'data-testid': 'story-status' })
  const stop = element('button', {
    class: 'stop',
    type: 'button',
    'data-testid': 'story-stop',
    'aria-label': `Stop story ${number}`,
    title: 'Stop this story',
  })
  const head = element('header', {}, element('h3', {}, `Story ${number}`), status, stop)
  const node = document.createTextNode('')
  const streamed = element('span', { 'data-testid': 'story-text' }, node)
  const box = element('p', { class: 'text', tabindex: '0' }, element('b', {}, opening), streamed)
  const code = element('code', { 'data-testid': 'story-error-code' })
  const message = element('span', {})
  const error = Object.assign(element('p', { class: 'error', 'data-testid': 'story-error' }, code, ' ', message), {
    code,
    message,
  })
  const count = element('span', { 'data-testid': 'story-tokens' })
  const note = element('span', {})
  const foot = element('footer', {}, count, note)
  const card = element('article', { class: 'story', 'data-testid': 'story' }, head, box, error, foot)
  return { card, text: { box, node }, status, stop, count, note, error }
}

function ending(result: GenerationResult): { state: StoryState; note: string } {
  const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
    result.usage.completion_tokens_details
  const verified = accepted + rejected
  const drafts = verified > 0 ? `${Math.round((accepted / verified) * 100)} % accepted · ` : ''
  const state = result.finish_reason === 'abort' ? 'stopped' : 'done'
  const reason = result.finish_reason === 'stop' ? 'the end · ' : ''
  return { state, note: `${reason}${drafts}seed ${result.seed}` }
}
