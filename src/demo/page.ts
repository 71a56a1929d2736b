/** The page as a whole: one engine at a time, and what its steps, errors and buttons mean for the parts of the page. */

import type { RefusedStep } from '../chart/stepText.ts'
import { type EngineStats, LLM, type StepRecord, WeirError } from '../index.ts'
import { BatchingPanel } from './batchingPanel.ts'
import { ChartPanel } from './chartPanel.ts'
import { Controls } from './controls.ts'
import { byId, FrameQueue } from './dom.ts'
import { FiguresPanel } from './figuresPanel.ts'
import { Notice } from './notice.ts'
import { PolicyPanel } from './policyPanel.ts'
import { refusedStep } from './refusal.ts'
import { ReplayPanel } from './replayPanel.ts'
import { engineOptions, type Settings } from './settings.ts'
import { SpeculationPanel } from './speculationPanel.ts'
import { StepHistory } from './stepHistory.ts'
import { StoryBoard, type StoryEngine } from './storyBoard.ts'
import { storyForm } from './storyForm.ts'
import { PageTheme } from './theme.ts'

/** The block map follows the engine at this distance: finer than the eye needs costs messages. */
const STATS_INTERVAL_MS = 250

export class Page {
  readonly #frames = new FrameQueue()
  readonly #history = new StepHistory()
  readonly #theme = new PageTheme(() => this.#repaint())
  readonly #parts = {
    chart: new ChartPanel(this.#frames, this.#theme),
    figures: new FiguresPanel(this.#frames, this.#theme),
    speculation: new SpeculationPanel(this.#frames, this.#theme),
    board: new StoryBoard(this.#frames, this.#theme, {
      engine: () => this.#idleEngine(),
      ended: (error) => this.#ended(error),
    }),
    controls: new Controls(() => void this.load()),
    notice: new Notice((exact) => this.#loadAgain(exact)),
    batching: new BatchingPanel(() => void this.#compareBatching()),
    policies: new PolicyPanel(this.#theme),
    replay: new ReplayPanel(this.#theme),
  }
  /** the engine, and the settings that it was loaded with */
  #engine: StoryEngine | undefined
  /** the load that the page waits for, or the one its engine came from */
  #loading = new AbortController()
  #refused: RefusedStep | undefined
  #statsTimer: ReturnType<typeof setTimeout> | undefined

  constructor() {
    const { board, policies } = this.#parts
    byId('start', HTMLButtonElement).addEventListener('click', () => board.startAll())
    byId('stop-all', HTMLButtonElement).addEventListener('click', () => board.stopAll())
    byId('compare-policies', HTMLButtonElement).addEventListener('click', () => {
      if (this.#engine) void policies.compare(this.#engine.llm, this.#engine.settings.model)
    })
    storyForm((opening) => board.add(opening))
  }

  /**
   * Loads an engine with what the controls say, in place of the one there is, and has it write. A load under way is given up.
   */
  async load(): Promise<void> {
    const { notice, controls, board, batching } = this.#parts
    this.#loading.abort()
    const loading = new AbortController()
    const { signal } = loading
    this.#loading = loading
    const { settings } = controls
    const former = this.#engine?.llm
    this.#setEngine(undefined)
    batching.reset()
    board.interrupt()
    this.#history.clear()
    this.#refused = undefined
    this.#frames.request(this.#drawSteps)
    this.#showStats(undefined)
    notice.loading()
    try {
      await former?.dispose()
      const llm = await LLM.load(settings.model, {
        ...engineOptions(settings),
        signal,
        onProgress: (progress) => signal.aborted || notice.loading(progress),
        onStep: (record) => signal.aborted || this.#step(record),
      })
      if (signal.aborted) return await llm.dispose()
      this.#setEngine({ llm, settings })
      this.#showEngine(llm, settings)
      board.startAll()
    } catch (thrown) {
      if (!signal.aborted) notice.failed(WeirError.from(thrown), settings)
    }
  }

  #loadAgain(exact: boolean): void {
    if (exact) this.#parts.controls.usePolicy('exact')
    void this.load()
  }

  /** Engine options are those it was loaded with; sampling is what the controls say now. */
  #idleEngine(): StoryEngine | undefined {
    if (!this.#engine || this.#parts.batching.running) return undefined
    return { llm: this.#engine.llm, settings: this.#parts.controls.settings }
  }

  /** The engine does nothing else meanwhile: stories under way are written again afterwards, and new ones wait. */
  async #compareBatching(): Promise<void> {
    const { board, batching } = this.#parts
    const engine = this.#idleEngine()
    if (!engine) return
    board.interrupt()
    this.#ended(await batching.run(engine.llm, engine.settings))
    board.startReady()
  }

  #setEngine(engine: StoryEngine | undefined): void {
    this.#engine = engine
    for (const id of ['start', 'compare', 'compare-policies']) byId(id, HTMLButtonElement).disabled = !engine
    this.#parts.replay.offer(engine?.settings.trace ? () => engine.llm.trace() : undefined)
  }

  #showEngine(llm: LLM, settings: Settings): void {
    this.#parts.notice.ready(llm, settings)
    this.#parts.controls.applied(settings, llm.options.maxNumBatchedTokens)
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

  #ended(error: WeirError | undefined): void {
    this.#requestStats()
    // Every story ends with the same fatal error; the first one tells the page.
    if (!error?.fatal || !this.#engine) return
    if (error.code === 'BUDGET_EXCEEDED') this.#refused = refusedStep(error, this.#history.records)
    const { llm, settings } = this.#engine
    this.#setEngine(undefined)
    this.#parts.notice.failed(error, settings)
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
    const { chart, figures, speculation, board, policies, replay } = this.#parts
    for (const part of [chart, figures, speculation, board, policies, replay]) part.repaint()
  }
}
