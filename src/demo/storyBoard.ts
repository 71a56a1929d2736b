/** The stories on the page: sixteen openings, those added by hand, and starting and stopping them on an engine. */

import type { LLM, WeirError } from '../index.ts'
import { byId, type FrameQueue, setText } from './dom.ts'
import { OPENINGS } from './openings.ts'
import { type Settings, samplingFields } from './settings.ts'
import { STATE_NAMES, StoryCard, type StoryState } from './storyCard.ts'
import type { PageTheme } from './theme.ts'

export class StoryBoard {
  readonly #grid = byId('stories', HTMLElement)
  readonly #summary = byId('stories-summary', HTMLElement)
  readonly #frames: FrameQueue
  readonly #theme: PageTheme
  /** called when a story ends, with the error that ended it, if one did */
  readonly #onEnd: (error: WeirError | undefined) => void
  #cards: StoryCard[] = []

  constructor(frames: FrameQueue, theme: PageTheme, onEnd: (error: WeirError | undefined) => void) {
    this.#frames = frames
    this.#theme = theme
    this.#onEnd = onEnd
    this.#reset()
  }

  get active(): number {
    return this.#cards.filter((card) => isActive(card.state)).length
  }

  /** Fresh cards for the sixteen openings, all started in this very moment. */
  startAll(llm: LLM, settings: Settings): void {
    this.stopAll()
    this.#reset()
    for (const [index, card] of this.#cards.entries()) this.#run(card, llm, settings, index)
  }

  add(llm: LLM, settings: Settings, prompt: string): void {
    const index = this.#cards.length
    const card = this.#append(prompt)
    this.#run(card, llm, settings, index)
    card.element.scrollIntoView({ block: 'nearest', behavior: 'smooth' })
  }

  stopAll(): void {
    for (const card of this.#cards) card.stop()
  }

  repaint(): void {
    for (const card of this.#cards) card.repaint()
  }

  #reset(): void {
    this.#cards = []
    this.#grid.replaceChildren()
    for (const opening of OPENINGS) this.#append(opening)
    this.#frames.request(this.#drawSummary)
  }

  #append(prompt: string): StoryCard {
    const card = new StoryCard(prompt, this.#cards.length + 1, this.#frames, this.#theme)
    this.#cards.push(card)
    this.#grid.append(card.element)
    return card
  }

  async #run(card: StoryCard, llm: LLM, settings: Settings, index: number): Promise<void> {
    const generation = llm.generate(card.opening, { ...samplingFields(settings, index), signal: card.signal })
    const error = await card.follow(generation, () => this.#frames.request(this.#drawSummary))
    this.#onEnd(error)
  }

  readonly #drawSummary = (): void => {
    const counts = new Map<StoryState, number>()
    for (const card of this.#cards) counts.set(card.state, (counts.get(card.state) ?? 0) + 1)
    const texts = [...counts].map(([state, count]) => `${count} ${STATE_NAMES[state]}`)
    setText(this.#summary, texts.join(' · '))
    byId('stop-all', HTMLButtonElement).disabled = this.active === 0
  }
}

function isActive(state: StoryState): boolean {
  return state === 'waiting' || state === 'streaming'
}
