/** The few helpers with which the page reaches and makes elements. */

/** The element with this id; index.html has it, so a missing one is a defect of the page. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id)
  if (found instanceof type) return found
  throw new Error(`index.html has no ${type.name} #${id}`)
}

export interface Attributes {
  readonly [name: string]: string
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value)
  made.append(...children)
  return made
}

/** Sets text only when it differs: most figures do not change in most frames. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text
}

/** Tells readers of the screen what others see: a few words when something begins or ends, not while it goes on. */
export function announce(text: string): void {
  setText(byId('announcement', HTMLElement), text)
}

/** Runs each job once in the next animation frame, however often it was asked for. */
export class FrameQueue {
  readonly #jobs = new Set<() => void>()
  #scheduled = false

  request(job: () => void): void {
    this.#jobs.add(job)
    if (this.#scheduled) return
    this.#scheduled = true
    requestAnimationFrame(() => {
      this.#scheduled = false
      const jobs = [...this.#jobs]
      this.#jobs.clear()
      for (const run of jobs) run()
    })
  }
}
