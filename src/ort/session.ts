/**
 * A session of ONNX Runtime over one graph of `onnx/model.ts`: rows in, rows out. Every call copies its inputs into the
 * runtime's memory and its outputs out of it. It must never know what the graph computes.
 */

import { InferenceSession, Tensor } from 'onnxruntime-web/wasm'
import { assert } from '../util/math.ts'
import { ortError } from './faults.ts'
import { WEIGHTS_FILE } from './onnx/model.ts'

/** Values by name, each row-major [rows][width]. */
export type Rows = Readonly<Record<string, Float32Array>>

export interface RowSession {
  /**
   * @param inputs every input of the graph; unchanged and not kept
   * @param rows at least 1
   * @returns every output of the graph, each in an array that is the caller's
   * @throws OUT_OF_MEMORY
   */
  run(inputs: Rows, rows: number): Promise<Rows>
  release(): Promise<void>
}

/**
 * Makes a session; neither array is kept.
 * @param weights the model's external file
 * @throws OUT_OF_MEMORY
 */
export type CreateSession = (name: string, model: Uint8Array, weights: Uint8Array) => Promise<RowSession>

const OPTIONS: InferenceSession.SessionOptions = {
  executionProviders: ['wasm'],
  logSeverityLevel: 3, // errors
}

export const createSession: CreateSession = async (name, model, weights) => {
  const externalData = [{ path: WEIGHTS_FILE, data: weights }]
  try {
    return new OrtRowSession(name, await InferenceSession.create(model, { ...OPTIONS, externalData }))
  } catch (thrown) {
    throw ortError(thrown, `make session "${name}" with ${weights.byteLength} bytes of weights`)
  }
}

class OrtRowSession implements RowSession {
  readonly #name: string
  readonly #session: InferenceSession

  constructor(name: string, session: InferenceSession) {
    this.#name = name
    this.#session = session
  }

  async run(inputs: Rows, rows: number): Promise<Rows> {
    const feeds: Record<string, Tensor> = {}
    for (const [name, values] of Object.entries(inputs)) {
      assert(values.length > 0 && values.length % rows === 0, `${name} has ${rows} rows`)
      feeds[name] = new Tensor('float32', values, [rows, values.length / rows])
    }
    try {
      const results = await this.#session.run(feeds)
      const outputs: Record<string, Float32Array> = {}
      // Outputs of the WebAssembly build are copies already.
      for (const [name, tensor] of Object.entries(results)) outputs[name] = tensor.data as Float32Array
      return outputs
    } catch (thrown) {
      throw ortError(thrown, `run session "${this.#name}" on ${rows} rows`)
    }
  }

  release(): Promise<void> {
    return this.#session.release()
  }
}
