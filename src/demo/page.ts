/** The page as a whole: one engine at a time, and what its steps, errors and buttons mean for the parts of the page. */

import type { RefusedStep } from '../chart/stepText.ts'
import { type AdapterInfo, type EngineStats, LLM, type StepRecord, WeirError } from '../index.ts'
import { ChartPanel } from './chartPanel.ts'
import { ComparisonPanel } from './comparisonPanel.ts'
import { Controls } from './controls.ts'
import { byId, FrameQueue } from './dom.ts'
import { FiguresPanel } from './figuresPanel.ts'
import { Notice } from './notice.ts'
import { refusedStep } from './refusal.ts'
import { ReplayPanel } from './replayPanel.ts'
import { defaultBatchTokens, engineOptions, type Settings } from './settings.ts'
import { SpeculationPanel } from './speculationPanel.ts'
import { StepHistory } from './stepHistory.ts'
import { StoryBoard } from './storyBoard.ts'
import { PageTheme } from './theme.ts'

/** The block map follows the engine at this distance: finer than the eye needs costs messages. */
const STATS_INTERVAL_MS = 250

interface Loaded {
  readonly llm: LLM
  /** what it was loaded with */
  readonly settings: Settings
}

export class Page {
  readonly #frames = new FrameQueue()
  readonly #history = new StepHistory()
  readonly #theme = new PageTheme(() => this.#repaint())
  readonly #parts = {
    chart: new ChartPanel(this.#frames, this.#theme),
    figures: new FiguresPanel(this.#frames, this.#theme),
    speculation: new SpeculationPanel(this.#frames, this.#theme),
    board: new StoryBoard(this.#frames, this.#theme, (error) => this.#storyEnded(error)),
    controls: new Controls(() => void this.load()),
    notice: new Notice(() => void this.load()),
    comparison: new ComparisonPanel(this.#theme),
    replay: new ReplayPanel(this.#theme),
  }
  #engine: Loaded | undefined
  /** the load that the page waits for, or the one its engine came from */
  #loading = new AbortController()
  #refused: RefusedStep | undefined
  #statsTimer: ReturnType<typeof setTimeout> | undefined

  constructor() {
    const { board, comparison } = this.#parts
    byId('start', HTMLButtonElement).addEventListener('click', () => {
      this.#withEngine((llm, settings) => board.startAll(llm, settings))
    })
    byId('add-story', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault()
      const prompt = byId('prompt', HTMLTextAreaElement).value
      this.#withEngine((llm, settings) => board.add(llm, settings, prompt))
    })
    byId('stop-all', HTMLButtonElement).addEventListener('click', () => board.stopAll())
    byId('compare', HTMLButtonElement).addEventListener('click', () => {
      this.#withEngine((llm, settings) => void comparison.compare(llm, settings.model))
    })
  }

  /** Loads an engine with what the controls say, in place of the one there is. A load under way is given up. */
  async load(): Promise<void> {
    const { notice, controls, board } = this.#parts
    this.#loading.abort()
    const loading = new AbortController()
    const { signal } = loading
    this.#loading = loading
    const { settings } = controls
    const former = this.#engine?.llm
    board.stopAll()
    this.#setEngine(undefined)
    this.#history.clear()
    this.#refused = undefined
    this.#frames.request(this.#drawSteps)
    this.#showStats(undefined)
    notice.loading()
    try {
      await former?.dispose()
      const adapter = await LLM.probe()
      const llm = await LLM.load(settings.model, {
        ...engineOptions(settings, adapter),
        signal,
        onProgress: (progress) => signal.aborted || notice.loading(progress),
        onStep: (record) => signal.aborted || this.#step(record),
      })
      if (signal.aborted) return await llm.dispose()
      this.#setEngine({ llm, settings })
      this.#showEngine(llm, settings, adapter)
    } catch (thrown) {
      if (!signal.aborted) notice.failed(WeirError.from(thrown))
    }
  }

  /** Engine options are those it was loaded with; sampling is what the controls say now. */
  #withEngine(act: (llm: LLM, settings: Settings) => void): void {
    if (this.#engine) act(this.#engine.llm, { ...this.#parts.controls.settings, model: this.#engine.settings.model })
  }

  #setEngine(engine: Loaded | undefined): void {
    this.#engine = engine
    for (const id of ['start', 'add', 'compare']) byId(id, HTMLButtonElement).disabled = !engine
    this.#parts.replay.offer(engine?.settings.trace ? () => engine.llm.trace() : undefined)
  }

  #showEngine(llm: LLM, settings: Settings, adapter: AdapterInfo): void {
    this.#parts.notice.ready(llm, settings)
    this.#parts.controls.applied(settings, defaultBatchTokens(adapter))
    this.#frames.request(this.#drawSteps)
    this.#showStats(undefined)
    this.#requestStats()
  }

  #step(record: StepRecord): void {
    this.#history.push(record)
    this.#frames.request(this.#drawSteps)
    this.#requestStats()
  }

  readonly #drawSteps = (): void => {
    const { records } = this.#history
    const last = records.at(-1)
    const limit = last?.limit ?? this.#engine?.llm.options.maxNumBatchedTokens ?? 0
    this.#parts.chart.show({ records, limit, refused: this.#refused })
    this.#parts.figures.showFigures(this.#history.figures())
  }

  #storyEnded(error: WeirError | undefined): void {
    this.#requestStats()
    // Every story ends with the same fatal error; the first one tells the page.
    if (!error?.fatal || !this.#engine) return
    if (error.code === 'BUDGET_EXCEEDED') this.#refused = refusedStep(error, this.#history.records)
    const { llm } = this.#engine
    this.#setEngine(undefined)
    this.#parts.notice.failed(error)
    this.#frames.request(this.#drawSteps)
    void this.#giveUp(llm)
  }

  /** What led to the error stays there to be downloaded. */
  async #giveUp(llm: LLM): Promise<void> {
    if (llm.options.debug.trace) {
      const trace = llm.trace()
      this.#parts.replay.offer(() => trace)
      await trace.catch(() => {})
    }
    await llm.dispose()
  }

  #requestStats(): void {
    this.#statsTimer ??= setTimeout(() => void this.#readStats(), STATS_INTERVAL_MS)
  }

  async #readStats(): Promise<void> {
    // Before the answer: what happens while it is on its way is worth another look.
    this.#statsTimer = undefined
    const llm = this.#engine?.llm
    try {
      const stats = await llm?.stats()
      if (llm === this.#engine?.llm) this.#showStats(stats)
    } catch {
      // The engine ended meanwhile; the stories say why.
    }
  }

  /** Without stats nothing is known. The choice of drafts is read at this pace too: one of every step could not be. */
  #showStats(stats: EngineStats | undefined): void {
    const { figures, speculation } = this.#parts
    const options = this.#engine?.llm.options
    const most = options && (options.speculative?.numSpeculativeTokens ?? 0)
    const adaptive = options?.speculative?.adaptive ?? false
    const choice = this.#history.records.at(-1)?.drafts
    figures.showStats(stats)
    speculation.show({ most, adaptive, choice, stats: stats?.speculation })
  }

  #repaint(): void {
    const { chart, figures, speculation, board, comparison, replay } = this.#parts
    chart.repaint()
    figures.repaint()
    speculation.repaint()
    board.repaint()
    comparison.repaint()
    replay.repaint()
  }
}
