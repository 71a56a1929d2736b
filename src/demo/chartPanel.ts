/** The live step-token chart: canvas, pointer, keyboard, the numbers of a step. It knows step records, not the engine. */

import { paint } from '../chart/canvas.ts'
import { type StepChart, stepChart } from '../chart/stepChart.ts'
import { stepAt } from '../chart/stepLayout.ts'
import { chartSummary, type RefusedStep, refusedFigures, rowsOf, stepFigures } from '../chart/stepText.ts'
import type { StepRecord } from '../index.ts'
import { byId, element, type FrameQueue, setText } from './dom.ts'
import type { PageTheme } from './theme.ts'

const LIVE_BARS = { minPitch: 9, maxPitch: 9 }

export interface ChartState {
  readonly records: readonly StepRecord[]
  readonly limit: number
  readonly refused?: RefusedStep | undefined
}

export class ChartPanel {
  readonly #canvas = byId('chart', HTMLCanvasElement)
  readonly #tooltip = byId('chart-tooltip', HTMLElement)
  readonly #readout = byId('chart-readout', HTMLElement)
  readonly #frames: FrameQueue
  readonly #theme: PageTheme
  #state: ChartState = { records: [], limit: 0 }
  #chart: StepChart | undefined
  /** the step under the pointer or chosen by keys, by number, because indices move as records are dropped */
  #chosen: number | undefined

  constructor(frames: FrameQueue, theme: PageTheme) {
    this.#frames = frames
    this.#theme = theme
    this.#canvas.addEventListener('pointermove', (event) => this.#point(event.offsetX))
    this.#canvas.addEventListener('pointerdown', (event) => this.#point(event.offsetX))
    // A finger leaves as soon as it is lifted; what it pointed at stays until it touches something else.
    this.#canvas.addEventListener('pointerleave', (event) => {
      if (event.pointerType !== 'touch') this.#choose(undefined)
    })
    this.#canvas.addEventListener('blur', () => this.#choose(undefined))
    this.#canvas.addEventListener('keydown', (event) => this.#key(event))
    new ResizeObserver(() => this.#frames.request(this.#draw)).observe(this.#canvas)
  }

  show(state: ChartState): void {
    this.#state = state
    this.repaint()
  }

  repaint(): void {
    this.#frames.request(this.#draw)
  }

  #stepNumber(index: number): number | undefined {
    return this.#state.records[index]?.step ?? this.#state.refused?.step
  }

  #indexOf(step: number | undefined): number | undefined {
    if (step === undefined) return undefined
    const { records, refused } = this.#state
    const index = records.findLastIndex((record) => record.step === step)
    if (index >= 0) return index
    return refused?.step === step ? records.length : undefined
  }

  #point(x: number): void {
    const index = this.#chart ? stepAt(this.#chart.layout, x) : undefined
    this.#choose(index === undefined ? undefined : this.#stepNumber(index))
  }

  #choose(step: number | undefined): void {
    this.#chosen = step
    this.repaint()
  }

  #key(event: KeyboardEvent): void {
    if (event.key === 'Escape') this.#choose(undefined)
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
    const layout = this.#chart?.layout
    if (by === undefined || !layout || layout.count === 0) return
    event.preventDefault()
    const last = layout.first + layout.count - 1
    const from = this.#indexOf(this.#chosen) ?? last + 1
    this.#choose(this.#stepNumber(Math.min(last, Math.max(layout.first, from + by))))
  }

  readonly #draw = (): void => {
    const { clientWidth: width, clientHeight: height } = this.#canvas
    if (width === 0 || height === 0) return
    const { records, limit, refused } = this.#state
    const selected = this.#indexOf(this.#chosen)
    this.#chart = stepChart({
      records,
      limit,
      refused,
      width,
      height,
      selected,
      theme: this.#theme.current,
      widths: LIVE_BARS,
      emptyText: 'Steps appear here once the model writes.',
    })
    paint(this.#canvas, this.#chart.shapes, width, height, devicePixelRatio)
    this.#canvas.setAttribute('aria-label', chartSummary(records, limit, refused))
    this.#canvas.dataset.steps = `${records.at(-1)?.step ?? 0}`
    this.#showReadout(records[selected ?? records.length - 1], selected !== undefined)
    this.#showTooltip(selected)
  }

  /** The colours' names with the numbers of the chosen step, or of the last one. */
  #showReadout(record: StepRecord | undefined, chosen: boolean): void {
    const numbers: Record<string, string> = {
      step: record ? `Rows of ${chosen ? 'step' : 'the last step,'} ${record.step}` : 'Rows of the last step',
      base: `${record?.baseRows ?? 0}`,
      accepted: `${record?.acceptedDrafts ?? 0}`,
      rejected: `${record ? record.draftRows - record.acceptedDrafts : 0}`,
      prefill: `${record?.prefillRows ?? 0}`,
      total: record ? `${rowsOf(record)} of ${record.limit}` : '',
    }
    for (const field of this.#readout.querySelectorAll<HTMLElement>('[data-field]')) {
      setText(field, numbers[field.dataset.field ?? ''] ?? '')
    }
  }

  #showTooltip(selected: number | undefined): void {
    const { records, refused } = this.#state
    const record = selected === undefined ? undefined : records[selected]
    const figures = record ? stepFigures(record) : refused && selected === records.length ? refusedFigures(refused) : []
    this.#tooltip.hidden = figures.length === 0
    if (figures.length === 0 || selected === undefined || !this.#chart) return
    const { plot, first, pitch } = this.#chart.layout
    const left = plot.x + (selected - first) * pitch
    const rows = figures.flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)])
    this.#tooltip.replaceChildren(
      element('strong', {}, `Step ${this.#stepNumber(selected) ?? ''}`),
      element('dl', {}, ...rows),
    )
    const width = this.#tooltip.offsetWidth
    const fitsRight = left + pitch + 10 + width <= this.#canvas.clientWidth
    const x = fitsRight ? left + pitch + 10 : Math.max(0, left - width - 10)
    this.#tooltip.style.setProperty('--x', `${x}px`)
  }
}
