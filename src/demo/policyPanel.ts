/** The comparison of the budget policies: one chart per run as it ends, captions when all have. */

import { stepChart } from '../chart/stepChart.ts'
import { chartSummary } from '../chart/stepText.ts'
import { svgDocument } from '../chart/svg.ts'
import { LLM, type LoadOptions, WeirError } from '../index.ts'
import { byId, element, setText } from './dom.ts'
import { captions, comparePolicies, POLICY_CASES, type PolicyRun, WORKLOAD } from './policyComparison.ts'
import { isEmulated } from './settings.ts'
import type { PageTheme } from './theme.ts'

/** Random weights, a hundredth of the work per row: the rows of a step do not depend on what a model says. */
const TINY_MODEL = 'models/qwen3-mtp/'
const CHART_HEIGHT = 240

export class PolicyPanel {
  readonly #status = byId('policies-status', HTMLElement)
  readonly #results = byId('policies-results', HTMLElement)
  readonly #theme: PageTheme
  #runs: PolicyRun[] = []

  constructor(theme: PageTheme) {
    this.#theme = theme
    new ResizeObserver(() => this.repaint()).observe(this.#results)
  }

  /** Draws each chart as wide as its place, so that its text keeps its size. */
  readonly repaint = (): void => {
    for (const [index, picture] of [...this.#results.querySelectorAll('.picture')].entries()) {
      const run = this.#runs[index]
      if (run) picture.innerHTML = chart(run, picture.clientWidth, this.#theme)
    }
  }

  /** Runs the comparison in engines of its own, on the model of `llm` or, where that would take too long, on a tiny one. */
  async compare(llm: LLM, modelUrl: string): Promise<void> {
    if (this.#results.dataset.state === 'running') return
    const tiny = isEmulated(llm.device) || !llm.model.drafter
    const model = tiny ? TINY_MODEL : modelUrl
    this.#runs = []
    this.#results.replaceChildren()
    this.#results.dataset.state = 'running'
    byId('policies-legend', HTMLElement).hidden = false
    byId('policies-error', HTMLElement).hidden = true
    this.#say(0)
    try {
      const { backend } = llm.options
      const loader = { load: (url: string, options: LoadOptions) => LLM.load(url, { ...options, backend }) }
      await comparePolicies(loader, model, (run, index) => {
        this.#runs.push(run)
        this.#say(index + 1)
        this.#draw()
      })
      this.#results.dataset.state = 'done'
      setText(this.#status, `${tiny ? tinyNote(llm) : `Run on ${llm.model.name}.`} ${promptNote(this.#runs)}`)
    } catch (thrown) {
      this.#results.dataset.state = 'failed'
      this.#fail(WeirError.from(thrown))
    }
  }

  #say(done: number): void {
    const next = POLICY_CASES[done]
    const what = next ? `${next.policy} at B = ${next.maxNumBatchedTokens}` : 'captions'
    setText(this.#status, `Running ${Math.min(done + 1, POLICY_CASES.length)} of ${POLICY_CASES.length}: ${what}…`)
  }

  #fail(error: WeirError): void {
    const box = byId('policies-error', HTMLElement)
    box.hidden = false
    box.replaceChildren(element('code', {}, error.code), ` ${error.message}`)
    setText(this.#status, '')
  }

  #draw(): void {
    const texts = this.#runs.length === POLICY_CASES.length ? captions(this.#runs) : []
    this.#results.replaceChildren(...this.#runs.map((run, index) => figure(run, texts[index] ?? '')))
    this.repaint()
  }
}

function figure({ policy, limit, refused }: PolicyRun, caption: string): HTMLElement {
  const head = element('h3', {}, element('code', {}, policy), ` at B = ${limit}`)
  if (refused) {
    head.append(element('span', { class: 'refusal', 'data-testid': 'refusal' }, refused.code))
  }
  const attributes = { 'data-testid': 'policy-run', 'data-policy': policy, 'data-limit': `${limit}` }
  const text = element('figcaption', { 'data-testid': 'policy-caption' }, caption)
  return element('figure', attributes, head, element('div', { class: 'picture' }), text)
}

function chart({ policy, records, limit, refused }: PolicyRun, width: number, theme: PageTheme): string {
  const { shapes } = stepChart({ records, limit, refused, width, height: CHART_HEIGHT, theme: theme.current })
  const title = `${policy} at B = ${limit}. ${chartSummary(records, limit, refused)}`
  return svgDocument(shapes, { width, height: CHART_HEIGHT, title })
}

function tinyNote(llm: LLM): string {
  const why = isEmulated(llm.device) ? 'an emulated GPU' : 'a model without a drafter'
  return `With ${why} this runs on a tiny model of random weights: the rows and the refusals are the same.`
}

function promptNote(runs: readonly PolicyRun[]): string {
  const tokens = runs[0]?.promptTokens ?? WORKLOAD.promptTokens
  return tokens < WORKLOAD.promptTokens ? `Its positions allow prompts of ${tokens} tokens.` : ''
}
