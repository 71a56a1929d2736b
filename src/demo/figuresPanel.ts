/** The live figures below the chart, and the map of KV blocks. It knows numbers and block owners, not the engine. */

import { blockMap } from '../chart/blockMap.ts'
import { paint } from '../chart/canvas.ts'
import { percentText } from '../chart/draftText.ts'
import { type EngineStats, SHARED_BLOCK } from '../index.ts'
import { byId, type FrameQueue, setText } from './dom.ts'
import type { LiveFigures } from './stepHistory.ts'
import type { PageTheme } from './theme.ts'

export class FiguresPanel {
  readonly #map = byId('block-map', HTMLCanvasElement)
  readonly #frames: FrameQueue
  readonly #theme: PageTheme
  // [totalBlocks] as in `stats().blockOwners`
  #owners = new Int32Array(0)

  constructor(frames: FrameQueue, theme: PageTheme) {
    this.#frames = frames
    this.#theme = theme
    new ResizeObserver(() => this.repaint()).observe(this.#map)
  }

  showFigures(figures: LiveFigures): void {
    figure('tokens-per-second', figures.tokensPerSecond?.toFixed(1))
    figure('tokens-per-step', figures.tokensPerStep?.toFixed(1))
    figure('budget-use', percent(figures.budgetUse))
    figure('acceptance', percent(figures.acceptance))
  }

  /** What step records lack: the state after the last step, and which request owns which block. `undefined`: not known. */
  showStats(stats: EngineStats | undefined): void {
    this.#owners = new Int32Array(stats?.blockOwners ?? [])
    figure('running', stats?.running.toString())
    figure('waiting', stats?.waiting.toString())
    figure('kv-blocks', stats && `${this.#used()}`)
    setText(byId('kv-total', HTMLElement), stats ? `of ${this.#owners.length}` : '')
    this.repaint()
  }

  repaint(): void {
    this.#frames.request(this.#draw)
  }

  #used(): number {
    return this.#owners.reduce((count, owner) => count + (owner >= 0 || owner === SHARED_BLOCK ? 1 : 0), 0)
  }

  readonly #draw = (): void => {
    const { clientWidth: width, clientHeight: height } = this.#map
    if (width === 0 || height === 0) return
    const shapes = blockMap({ owners: this.#owners, width, height, theme: this.#theme.current })
    paint(this.#map, shapes, width, height, devicePixelRatio)
    this.#map.setAttribute('aria-label', `KV block map: ${this.#used()} of ${this.#owners.length} blocks in use`)
  }
}

function figure(id: string, value: string | undefined): void {
  setText(byId(id, HTMLElement), value ?? '–')
}

function percent(part: number | undefined): string | undefined {
  return part === undefined ? undefined : percentText(part)
}
