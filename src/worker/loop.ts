/**
 * The run loop: runs steps while the engine has work, and returns to the event loop between steps so that new requests and
 * aborts are received. It must never know what a step does.
 */

/** The part of the engine that the loop calls. */
export interface Steppable {
  hasWork(): boolean
  step(): Promise<unknown>
}

export class StepLoop {
  readonly #engine: Steppable
  readonly #onError: (thrown: unknown) => void
  #running: Promise<void> | undefined
  #stopped = false

  /** @param onError called with what a step threw, after the loop has stopped for good */
  constructor(engine: Steppable, onError: (thrown: unknown) => void) {
    this.#engine = engine
    this.#onError = onError
  }

  /** Starts the loop if it is idle: there may be work. */
  wake(): void {
    if (!this.#stopped) this.#running ??= this.#run()
  }

  /** Starts no further step; settles when the step in flight has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #run(): Promise<void> {
    const turn = new EventLoopTurn()
    try {
      // Requests submitted in the same task are then scheduled in the same first step.
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
 * Yields to the event loop by posting a message to itself: unlike a timer, a message is neither clamped to 4 ms nor throttled
 * in a background tab. The two ports alternate, because Node drains a port, newly posted messages included, before it serves
 * another.
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
