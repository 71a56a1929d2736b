/** What speculation does, beside the chart: accepted by position, the mean accepted length, and the engine's choice in words. */

import { acceptanceChart, acceptanceHeight } from '../chart/acceptanceChart.ts'
import { paint } from '../chart/canvas.ts'
import { acceptanceSummary, choiceText } from '../chart/draftText.ts'
import type { DraftChoice, SpeculationStats } from '../index.ts'
import { byId, type FrameQueue, setText } from './dom.ts'
import type { PageTheme } from './theme.ts'

export interface SpeculationState {
  /** drafts that a story may have in a step at most; 0: the engine does not speculate; undefined: there is no engine */
  readonly most: number | undefined
  /** whether their number is chosen step by step */
  readonly adaptive: boolean
  /** of the last step; undefined where it is not chosen, or before the first step */
  readonly choice: DraftChoice | undefined
  readonly stats: SpeculationStats | undefined
}

export class SpeculationPanel {
  readonly #canvas = byId('acceptance-chart', HTMLCanvasElement)
  readonly #choice = byId('draft-choice', HTMLElement)
  readonly #frames: FrameQueue
  readonly #theme: PageTheme
  #state: SpeculationState = { most: undefined, adaptive: false, choice: undefined, stats: undefined }

  constructor(frames: FrameQueue, theme: PageTheme) {
    this.#frames = frames
    this.#theme = theme
    new ResizeObserver(() => this.repaint()).observe(this.#canvas)
  }

  show(state: SpeculationState): void {
    this.#state = state
    const mean = state.stats?.meanAcceptedLength ?? 0
    setText(byId('mean-length', HTMLElement), mean > 0 ? mean.toFixed(2) : '–')
    setText(this.#choice, choiceWords(state))
    if (state.most !== undefined) this.#canvas.style.height = `${acceptanceHeight(state.most)}px`
    this.repaint()
  }

  repaint(): void {
    this.#frames.request(this.#draw)
  }

  readonly #draw = (): void => {
    const { clientWidth: width, clientHeight: height } = this.#canvas
    if (width === 0 || height === 0) return
    const { most, stats } = this.#state
    const { verified, accepted } = stats ?? { verified: [], accepted: [] }
    const emptyText = most === 0 ? 'No drafts: they are off.' : 'No drafts checked yet.'
    const shapes = acceptanceChart({ verified, accepted, width, height, theme: this.#theme.current, emptyText })
    paint(this.#canvas, shapes, width, height, devicePixelRatio)
    this.#canvas.setAttribute('aria-label', acceptanceSummary({ verified, accepted }, emptyText))
  }
}

function choiceWords({ most, choice, adaptive }: SpeculationState): string {
  if (most === undefined) return 'no drafts: no model is loaded'
  if (most === 0) return 'no drafts: they are off in the settings'
  if (choice) return choiceText(choice)
  return adaptive ? 'no drafts: nothing is written yet' : choiceText({ k: most, reason: 'fixed' })
}
