/** Traces: one of the page's engine to download, and any to replay, with its chart. It knows traces as text, not the engine. */

import { stepChart } from '../chart/stepChart.ts'
import { chartSummary, type RefusedStep } from '../chart/stepText.ts'
import { svgDocument } from '../chart/svg.ts'
import { LLM, type Replay, WeirError } from '../index.ts'
import { byId, element, setText } from './dom.ts'
import type { PageTheme } from './theme.ts'

const CHART_HEIGHT = 240
const FILE_NAME = 'weir-trace.jsonl'

/** Gives a trace, now or when it is asked for. */
type TraceSource = () => Promise<string>

export class ReplayPanel {
  readonly #download = byId('download-trace', HTMLButtonElement)
  readonly #file = byId('replay-file', HTMLInputElement)
  readonly #status = byId('replay-status', HTMLElement)
  readonly #error = byId('replay-error', HTMLElement)
  readonly #result = byId('replay-result', HTMLElement)
  readonly #theme: PageTheme
  #source: TraceSource | undefined
  #replay: Replay | undefined

  constructor(theme: PageTheme) {
    this.#theme = theme
    this.#download.addEventListener('click', () => void this.#save())
    this.#file.addEventListener('change', () => void this.#open(this.#file.files?.[0]))
    const zone = byId('replay-zone', HTMLElement)
    const over = (event: DragEvent, inside: boolean) => {
      event.preventDefault()
      zone.dataset.over = `${inside}`
    }
    zone.addEventListener('dragover', (event) => over(event, true))
    zone.addEventListener('dragleave', (event) => over(event, false))
    zone.addEventListener('drop', (event) => {
      over(event, false)
      void this.#open(event.dataTransfer?.files[0])
    })
    new ResizeObserver(() => this.repaint()).observe(this.#result)
  }

  /** What the button downloads; undefined: there is no trace. */
  offer(source: TraceSource | undefined): void {
    this.#source = source
    this.#download.disabled = !source
  }

  /** Draws the chart as wide as its place, so that its text keeps its size. */
  readonly repaint = (): void => {
    const picture = this.#result.querySelector('.picture')
    if (this.#replay && picture) picture.innerHTML = chart(this.#replay, picture.clientWidth, this.#theme)
  }

  async #save(): Promise<void> {
    try {
      const trace = await this.#source?.()
      if (trace === undefined) return
      const url = URL.createObjectURL(new Blob([trace], { type: 'application/jsonl' }))
      element('a', { href: url, download: FILE_NAME }).click()
      // Some browsers read it only when the visitor has said where to.
      setTimeout(() => URL.revokeObjectURL(url), 60_000)
    } catch (thrown) {
      this.#fail(WeirError.from(thrown))
    }
  }

  async #open(file: File | undefined): Promise<void> {
    // The same file may be chosen again.
    this.#file.value = ''
    if (!file || this.#result.dataset.state === 'running') return
    this.#result.dataset.state = 'running'
    this.#replay = undefined
    this.#result.replaceChildren()
    this.#error.hidden = true
    byId('replay-legend', HTMLElement).hidden = true
    setText(this.#status, `Replaying ${file.name}…`)
    try {
      this.#replay = await LLM.replay(await file.text())
      setText(this.#status, file.name)
      this.#result.replaceChildren(figure(this.#replay))
      byId('replay-legend', HTMLElement).hidden = false
      this.#result.dataset.state = 'done'
      this.repaint()
    } catch (thrown) {
      this.#result.dataset.state = 'failed'
      setText(this.#status, file.name)
      this.#fail(WeirError.from(thrown))
    }
  }

  #fail(error: WeirError): void {
    this.#error.hidden = false
    this.#error.replaceChildren(element('code', {}, error.code), ` ${error.message}`)
  }
}

function figure(replay: Replay): HTMLElement {
  const { options, requests, failure } = replay
  const { budgetPolicy, maxNumBatchedTokens } = options
  const what = `${count(requests, 'request')}, policy `
  const head = element('h3', {}, what, element('code', {}, budgetPolicy), ` at B = ${maxNumBatchedTokens}`)
  if (failure) head.append(element('span', { class: 'refusal' }, failure.code))
  const caption = element('figcaption', { 'data-testid': 'replay-caption' }, replayCaption(replay))
  return element('figure', {}, head, element('div', { class: 'picture' }), caption)
}

/** One line: how much was replayed, and with what the trace ends if that is an error. */
function replayCaption({ records, plans, failure }: Replay): string {
  const same = `${count(records.length, 'step')}, ${count(plans, 'plan')}, all byte for byte the same`
  if (!failure) return `${same}.`
  const { code, step } = failure
  const end =
    code === 'BUDGET_EXCEEDED' ? `the plan of step ${step} was refused` : `after step ${step} the engine ended`
  return `${same}; ${end}: ${code}.`
}

function chart(replay: Replay, width: number, theme: PageTheme): string {
  const { records, options } = replay
  const limit = options.maxNumBatchedTokens
  const refused = refusedStep(replay)
  const input = { records, limit, refused, width, height: CHART_HEIGHT, theme: theme.current }
  const { shapes } = stepChart({ ...input, emptyText: 'The trace holds no step.' })
  return svgDocument(shapes, { width, height: CHART_HEIGHT, title: chartSummary(records, limit, refused) })
}

function refusedStep({ failure }: Replay): RefusedStep | undefined {
  if (failure?.code !== 'BUDGET_EXCEEDED') return undefined
  const { rows, limit } = failure.details
  return { step: failure.step, rows: Number(rows), limit: Number(limit) }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
