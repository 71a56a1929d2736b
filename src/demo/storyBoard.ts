/**
 * The stories on the page: the visitor's own first, then sixteen openings; starting and stopping them on the engine there is.
 * A card shows one run of a story: whatever is written again gets a fresh card in the same place.
 */

import type { LLM, WeirError } from '../index.ts'
import { announce, byId, type FrameQueue, setText } from './dom.ts'
import { OPENINGS } from './openings.ts'
import { savedStories, saveStories } from './ownStories.ts'
import { type Settings, samplingFields } from './settings.ts'
import { type CardContext, StoryCard } from './storyCard.ts'
import { type OwnStory, STATE_NAMES, type StoryState } from './storyState.ts'
import type { PageTheme } from './theme.ts'

/** What stories are written with. */
export interface StoryEngine {
  readonly llm: LLM
  readonly settings: Settings
}

interface BoardEvents {
  /** the engine that may be used now; without one, stories wait until `startReady` */
  engine(): StoryEngine | undefined
  /** a story ended, with the error that ended it, if one did */
  ended(error: WeirError | undefined): void
}

export class StoryBoard {
  readonly #grid = byId('stories', HTMLElement)
  readonly #summary = byId('stories-summary', HTMLElement)
  readonly #stopAll = byId('stop-all', HTMLButtonElement)
  readonly #context: CardContext
  readonly #events: BoardEvents
  /** as they stand on the page */
  #cards: StoryCard[]

  constructor(frames: FrameQueue, theme: PageTheme, events: BoardEvents) {
    this.#events = events
    this.#context = {
      frames,
      theme,
      changed: () => this.#changed(),
      again: (card) => {
        const fresh = this.#renew(card)
        fresh.focus()
        this.#run(fresh)
      },
      remove: (card) => this.#remove(card),
    }
    const openings = OPENINGS.map((opening, index) => ({ opening, index, own: false, name: `Story ${index + 1}` }))
    const own = savedStories().map((story) => ({ ...story, own: true, name: ownName(story) }))
    this.#cards = [...own, ...openings].map((story) => new StoryCard(story, this.#context))
    this.#grid.replaceChildren(...this.#cards.map((card) => card.element))
    this.#changed()
  }

  /** Writes the sixteen openings anew, and those of the visitor's own stories that have no end. What has one is kept. */
  startAll(): void {
    for (const card of this.#cards) {
      if (!card.story.own || card.active || card.state === 'error') this.#renew(card)
    }
    this.startReady()
  }

  /** Writes whatever is not begun. */
  startReady(): void {
    for (const card of this.#cards) if (card.state === 'ready') this.#run(card)
  }

  /** Adds a story of the visitor's own, and writes it as soon as there is an engine. */
  add(opening: string): void {
    const index = Math.max(OPENINGS.length - 1, ...this.#cards.map((card) => card.story.index)) + 1
    const story = { opening, index, own: true, name: ownName({ opening, index }) }
    const card = new StoryCard(story, this.#context)
    this.#cards.unshift(card)
    this.#grid.prepend(card.element)
    this.#grid.scrollTo({ left: 0, top: 0 })
    this.#changed()
    this.#run(card)
  }

  stopAll(): void {
    for (const card of this.#cards) card.stop()
  }

  /** Stops what is being written without counting that as its end: it is to be written again. */
  interrupt(): void {
    for (const card of this.#cards.filter((each) => each.active)) this.#renew(card)
  }

  repaint(): void {
    for (const card of this.#cards) card.repaint()
  }

  /** A fresh card of the same story in the place of `card`. */
  #renew(card: StoryCard): StoryCard {
    card.stop()
    const { text: _, end: __, ...story } = card.story
    const fresh = new StoryCard(story, this.#context)
    this.#cards = this.#cards.map((each) => (each === card ? fresh : each))
    card.element.replaceWith(fresh.element)
    this.#changed()
    return fresh
  }

  #remove(card: StoryCard): void {
    this.#cards = this.#cards.filter((each) => each !== card)
    card.element.remove()
    this.#changed()
    byId('prompt', HTMLTextAreaElement).focus()
  }

  async #run(card: StoryCard): Promise<void> {
    const engine = this.#events.engine()
    if (!engine) return
    const fields = samplingFields(engine.settings, card.story.index)
    const error = await card.follow(engine.llm.generate(card.story.opening, { ...fields, signal: card.signal }))
    // The error of a card that is gone belongs to an engine that is gone.
    if (this.#cards.includes(card)) this.#events.ended(error)
  }

  #changed(): void {
    this.#context.frames.request(this.#drawSummary)
  }

  readonly #drawSummary = (): void => {
    saveStories(this.#cards.filter((card) => card.story.own).map((card) => card.kept))
    const counts = new Map<StoryState, number>()
    for (const card of this.#cards) counts.set(card.state, (counts.get(card.state) ?? 0) + 1)
    const texts = [...counts].map(([state, count]) => `${count} ${STATE_NAMES[state]}`)
    setText(this.#summary, texts.join(', '))
    const active = this.#cards.some((card) => card.active)
    if (!active && !this.#stopAll.disabled) announce('No story is being written')
    this.#stopAll.disabled = !active
  }
}

function ownName({ opening }: OwnStory): string {
  return `Your story “${opening.length > 40 ? `${opening.slice(0, 39)}…` : opening}”`
}
