/** The form of settings and the page's address, kept the same. It never knows the engine. */

import { byId, element, setText } from './dom.ts'
import { policyAdvice } from './policyAdvice.ts'
import { readSettings, type Settings, writeSettings } from './settings.ts'

/** Settings that need a new engine. */
const ENGINE_FIELDS = ['backend', 'b', 's', 'drafts', 'adaptive', 'policy', 'trace'] as const

/** Until the engine is loaded, whose default may be less; what is said of policies is the same for both. */
const DEFAULT_B = 256

export class Controls {
  readonly #form = byId('controls', HTMLFormElement)
  readonly #apply = byId('apply', HTMLButtonElement)
  readonly #policyNote = byId('policy-note', HTMLElement)
  readonly #model: string
  #applied: Settings | undefined

  /** `onApply` runs when the engine is to be loaded anew with what the form says. */
  constructor(onApply: () => void) {
    const settings = readSettings(location.search)
    this.#model = settings.model
    this.#fill(settings)
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault()
      // To where it will be seen.
      scrollTo({ top: 0 })
      onApply()
    })
    this.#form.addEventListener('input', () => this.#changed())
    this.#changed()
    byId('new-seed', HTMLButtonElement).addEventListener('click', () => {
      this.#input('seed').value = `${crypto.getRandomValues(new Uint16Array(1))[0] ?? 0}`
      this.#changed()
    })
  }

  /** What the form says. An empty B is the engine's default; another number that cannot be read is NaN. */
  get settings(): Settings {
    const number = (name: string) => this.#input(name).valueAsNumber
    const b = this.#input('b')
    return {
      model: this.#model,
      b: b.value === '' && !b.validity.badInput ? undefined : b.valueAsNumber,
      s: number('s'),
      backend: this.#select('backend').value,
      drafts: Number(this.#select('drafts').value),
      policy: this.#select('policy').value,
      adaptive: this.#input('adaptive').checked,
      trace: this.#input('trace').checked,
      temperature: number('temperature'),
      seed: number('seed'),
      tokens: number('tokens'),
    }
  }

  /** Back to the policy that counts right, after another one was refused. */
  usePolicy(policy: string): void {
    this.#select('policy').value = policy
    this.#changed()
  }

  /** The engine has taken up `settings`; `b` is what it resolved to, and stands in an empty field as a hint. */
  applied(settings: Settings, b: number): void {
    this.#applied = settings
    this.#input('b').placeholder = `${b}`
    this.#changed()
  }

  #fill(settings: Settings): void {
    this.#input('b').value = settings.b === undefined ? '' : `${settings.b}`
    for (const name of ['s', 'temperature', 'seed', 'tokens'] as const) this.#input(name).value = `${settings[name]}`
    this.#input('adaptive').checked = settings.adaptive
    this.#input('trace').checked = settings.trace
    for (const name of ['backend', 'drafts', 'policy'] as const) {
      const select = this.#select(name)
      const value = `${settings[name]}`
      // A value from the address that is not offered is still the engine's to refuse.
      if (![...select.options].some((option) => option.value === value)) {
        select.append(element('option', { value }, value))
      }
      select.value = value
    }
  }

  #changed(): void {
    const { settings } = this
    history.replaceState(null, '', `${location.pathname}${writeSettings(settings)}`)
    const pending = ENGINE_FIELDS.some((field) => this.#applied && !Object.is(settings[field], this.#applied[field]))
    this.#apply.dataset.pending = `${pending}`
    const advice = policyAdvice(settings, settings.b ?? Number(this.#input('b').placeholder || DEFAULT_B))
    this.#policyNote.hidden = advice === ''
    setText(this.#policyNote, advice)
  }

  #input(name: string): HTMLInputElement {
    return byId(name, HTMLInputElement)
  }

  #select(name: string): HTMLSelectElement {
    return byId(name, HTMLSelectElement)
  }
}
