/** One story: its opening, the text as it comes, how it ended, and its buttons. Knows one generation, not the engine. */

import { requestColour } from '../chart/theme.ts'
import { type Generation, WeirError } from '../index.ts'
import { element, type FrameQueue, setText } from './dom.ts'
import { type OwnStory, STATE_NAMES, type StoryEnd, type StoryState, storyEnd, tokensText } from './storyState.ts'
import type { PageTheme } from './theme.ts'

export interface Story extends OwnStory {
  /** what it is called on the page */
  readonly name: string
  /** whether the visitor began it */
  readonly own: boolean
}

/** What a card needs of the page, and what its buttons do. */
export interface CardContext {
  readonly frames: FrameQueue
  readonly theme: PageTheme
  changed(card: StoryCard): void
  again(card: StoryCard): void
  remove(card: StoryCard): void
}

interface Progress {
  readonly state: StoryState
  readonly tokens: number
  readonly end?: StoryEnd
  readonly error?: WeirError
  /** the request's, which decides the colour */
  readonly id?: number
}

export class StoryCard {
  readonly story: Story
  readonly #context: CardContext
  readonly #parts: CardParts
  readonly #abort = new AbortController()
  /** text that came since the last frame */
  #pending: string
  #progress: Progress

  constructor(story: Story, context: CardContext) {
    this.story = story
    this.#context = context
    this.#parts = cardParts(story)
    this.#pending = story.text ?? ''
    this.#progress = { state: story.end?.state ?? 'ready', tokens: 0, ...(story.end && { end: story.end }) }
    this.#parts.act.addEventListener('click', () => (this.active ? this.stop() : context.again(this)))
    this.#parts.remove?.addEventListener('click', () => context.remove(this))
    this.#draw()
  }

  get element(): HTMLElement {
    return this.#parts.card
  }

  get state(): StoryState {
    return this.#progress.state
  }

  get active(): boolean {
    return this.state === 'waiting' || this.state === 'streaming'
  }

  /** What is kept of it; without an end it is to be written again. */
  get kept(): OwnStory {
    const { opening, index } = this.story
    const { end } = this.#progress
    return end ? { opening, index, text: `${this.#parts.text.node.data}${this.#pending}`, end } : { opening, index }
  }

  /** To be given to the generation that this card is going to follow. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  stop(): void {
    this.#abort.abort()
  }

  repaint(): void {
    this.#context.frames.request(this.#draw)
  }

  /** The button's focus, where a card takes the place of another. */
  focus(): void {
    this.#parts.act.focus()
  }

  /** Shows a generation to its end. Resolves with the error that ended it, if one did. */
  async follow(generation: Generation): Promise<WeirError | undefined> {
    this.#update({ state: 'waiting', id: generation.id })
    try {
      for await (const part of generation) {
        this.#pending += part.text
        this.#update({ state: 'streaming', tokens: this.#progress.tokens + part.token_ids.length })
      }
      const { finish_reason, token_ids } = await generation.result()
      this.#ended(storyEnd(finish_reason, token_ids.length))
      return undefined
    } catch (thrown) {
      const error = WeirError.from(thrown)
      if (error.code === 'ABORTED') this.#ended(storyEnd('abort', this.#progress.tokens))
      else this.#update({ state: 'error', error })
      return error.code === 'ABORTED' ? undefined : error
    }
  }

  #ended(end: StoryEnd): void {
    this.#update({ state: end.state, end })
  }

  #update(progress: Partial<Progress>): void {
    const { state } = this.#progress
    this.#progress = { ...this.#progress, ...progress }
    if (this.#progress.state !== state) this.#context.changed(this)
    this.repaint()
  }

  readonly #draw = (): void => {
    const { card, text, status, act, remove, error } = this.#parts
    const { state, tokens, end, error: failure, id } = this.#progress
    card.dataset.state = state
    card.dataset.tokens = `${tokens}`
    if (id !== undefined) card.style.setProperty('--request', requestColour(id, this.#context.theme.current))
    setText(status, end?.text ?? (tokens > 0 ? `${STATE_NAMES[state]}, ${tokensText(tokens)}` : STATE_NAMES[state]))
    act.hidden = state === 'ready'
    act.dataset.act = this.active ? 'stop' : 'again'
    act.setAttribute('aria-label', `${this.active ? 'Stop' : 'Write again'}: ${this.story.name}`)
    if (remove) remove.hidden = this.active
    // What ended every story at once is told once, by the page.
    error.box.hidden = !failure || failure.fatal
    setText(error.code, failure?.code ?? '')
    setText(error.message, failure?.message ?? '')
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
  /** stops the story while it is being written, and writes it again when it has ended */
  readonly act: HTMLButtonElement
  readonly remove: HTMLButtonElement | undefined
  readonly error: { readonly box: HTMLElement; readonly code: HTMLElement; readonly message: HTMLElement }
}

function cardParts({ name, own, opening }: Story): CardParts {
  const node = document.createTextNode('')
  const streamed = element('span', { 'data-testid': 'story-text' }, node)
  const title = element('h3', { class: 'unseen' }, name)
  const box = element(
    'div',
    { class: 'text', role: 'group', tabindex: '0', 'aria-label': name },
    element('b', {}, opening),
    streamed,
  )
  const code = element('code', { 'data-testid': 'story-error-code' })
  const message = element('span', {})
  const error = element('p', { class: 'error', 'data-testid': 'story-error' }, code, ' ', message)
  const status = element('span', { class: 'status', 'data-testid': 'story-status' })
  const act = element('button', { class: 'act', type: 'button', 'data-testid': 'story-act' })
  const attributes = { class: 'act', type: 'button', 'data-act': 'remove', 'data-testid': 'story-remove' }
  const remove = own ? element('button', { ...attributes, 'aria-label': `Remove: ${name}` }) : undefined
  const foot = element('footer', {}, status, ...(remove ? [remove] : []), act)
  const card = element('article', { class: 'story', 'data-testid': 'story' }, title, box, error, foot)
  if (own) card.dataset.own = 'true'
  return { card, text: { box, node }, status, act, remove, error: { box: error, code, message } }
}
