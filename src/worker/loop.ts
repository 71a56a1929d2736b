/**
 * The run loop: one step after another while there is work, with a turn of the event loop between two steps, so that new
 * requests and aborts come in. It must never know what a step is.
 */

/** What the loop drives. */
export interface Steppable {
  hasWork(): boolean
  step(): Promise<unknown>
}

export class StepLoop {
  readonly #engine: Steppable
  readonly #onError: (thrown: unknown) => void
  #running: Promise<void> | undefined
  #stopped = false

  /** @param onError what a step threw; the loop has stopped for good when it is called */
  constructor(engine: Steppable, onError: (thrown: unknown) => void) {
    this.#engine = engine
    this.#onError = onError
  }

  /** Says that there may be work. */
  wake(): void {
    if (!this.#stopped) this.#running ??= this.#run()
  }

  /** Lets no further step begin; settles once none is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(): Promise<void> {
    const turn = new EventLoopTurn()
    try {
      // The first turn lets requests that are issued together begin together.
      await turn.pass()
      while (!this.#stopped && this.#engine.hasWork()) {
        await this.#engine.step()
        await turn.pass()
      }
    } catch (thrown) {
      this.#stopped = true
      this.#onError(thrown)
    } finally {
      turn.close()
      this.#running = undefined
    }
  }
}

/**
 * A message to oneself: unlike a timer it is neither clamped to 4 ms nor throttled in a background tab. The two ports take
 * turns, because Node empties one port, with all that is posted to it meanwhile, before it looks at the next.
 */
class EventLoopTurn {
  #from: MessagePort
  #to: MessagePort

  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.#from = port1
    this.#to = port2
  }

  pass(): Promise<void> {
    const [from, to] = [this.#to, this.#from]
    this.#from = from
    this.#to = to
    return new Promise((resolve) => {
      to.onmessage = () => resolve()
      from.postMessage(null)
    })
  }

  close(): void {
    this.#from.close()
  }
}
