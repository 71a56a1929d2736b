/**
 * One loaded model at work: requests go in as text or ids, the engine runs them step by step, and each step's news goes out in
 * one message. Text lives here: the engine below knows ids alone. It must never know how the model was loaded.
 */

import { EngineCore } from '../engine/engineCore.ts'
import type { EngineRequestEnd } from '../engine/engineTypes.ts'
import type { TokenEnd } from '../engine/stopChecker.ts'
import { WeirError } from '../protocol/errors.ts'
import type { Prompt, SamplingFields } from '../protocol/request.ts'
import type { EngineStats, ServiceListener } from '../protocol/service.ts'
import type { LoadedModel } from './loadModel.ts'
import { StepLoop } from './loop.ts'
import { Outbox } from './outbox.ts'
import { RequestText } from './requestText.ts'
import { readFields } from './sampling.ts'

interface ServedRequest {
  readonly seed: number
  /** undefined: the model has no tokenizer */
  readonly text: RequestText | undefined
}

export class Serving {
  readonly #model: LoadedModel
  readonly #engine: EngineCore
  readonly #loop: StepLoop
  readonly #outbox: Outbox
  readonly #requests = new Map<number, ServedRequest>()

  /** @param now milliseconds */
  constructor(model: LoadedModel, now: () => number, listener: ServiceListener) {
    this.#model = model
    this.#outbox = new Outbox(listener)
    this.#engine = new EngineCore({
      options: model.info.options,
      runner: model.runner,
      vocabSize: model.spec.vocabSize,
      now,
      hooks: {
        onTokens: (id, tokenIds) => this.#onTokens(id, tokenIds),
        onFinish: (end) => this.#onFinish(end),
        onStep: (record) => this.#outbox.send(record),
      },
    })
    this.#loop = new StepLoop(this.#engine, (thrown) => this.#fail(WeirError.from(thrown)))
    // A device may go away while no step is there to notice.
    void model.lost.then((error) => this.#fail(error))
  }

  /** @throws INVALID_REQUEST, UNSERVABLE_REQUEST; after a fatal error, that error */
  submit(id: number, prompt: Prompt, fields: SamplingFields): void {
    const { info, spec, defaults, tokenizer } = this.#model
    const { maxModelLen, debug } = info.options
    const promptTokenIds = this.#promptIds(prompt)
    const { maxTokens, stop, stopTokenIds, ignoreEos, ...sampling } = readFields(fields, defaults, spec.vocabSize)
    if (stop.length > 0 && !tokenizer) throw noTokenizer('stop strings', 'stop_token_ids')
    const { eosTokenIds } = spec
    this.#engine.add({
      id,
      promptTokenIds,
      // A prompt that leaves no room is refused as such.
      maxTokens: maxTokens ?? Math.max(1, maxModelLen - promptTokenIds.length),
      sampling: { ...sampling, sampleIndex: 0 },
      stopTokenIds,
      eosTokenIds,
      ignoreEos,
      debug: { logits: debug.logits !== 'off', steps: debug.steps },
    })
    const stopIds = ignoreEos ? stopTokenIds : [...stopTokenIds, ...eosTokenIds]
    this.#requests.set(id, { seed: sampling.seed, text: tokenizer && new RequestText(tokenizer, stop, stopIds) })
    this.#loop.wake()
  }

  /** Ends a request with what it has; one that has ended already is left alone. */
  abort(id: number): void {
    this.#engine.abort(id)
    this.#outbox.send()
  }

  stats(): EngineStats {
    const { info, runner } = this.#model
    const { kernels, batchInvariant, allocatedBytes } = runner
    return { ...this.#engine.stats(), plannedBytes: info.memory.totalBytes, allocatedBytes, kernels, batchInvariant }
  }

  /** Ends every request with DISPOSED. The device goes first: a step in flight then ends at once. */
  async dispose(): Promise<void> {
    this.#fail(new WeirError('DISPOSED', 'the model was disposed of: load it again'))
    this.#model.dispose()
    await this.#loop.stop()
  }

  #promptIds(prompt: Prompt): readonly number[] {
    const { tokenizer } = this.#model
    if (typeof prompt === 'string') {
      if (!tokenizer) throw noTokenizer('a text prompt', 'prompt_token_ids')
      return tokenizer.encode(prompt)
    }
    if (Array.isArray(prompt?.prompt_token_ids)) return prompt.prompt_token_ids
    throw new WeirError('INVALID_REQUEST', 'the prompt must be a string or { prompt_token_ids } with an array of ids')
  }

  #onTokens(id: number, tokenIds: readonly number[]): TokenEnd | undefined {
    const request = this.#requests.get(id)
    const { text, kept } = request?.text?.push(tokenIds) ?? { text: '', kept: undefined }
    this.#outbox.add(id, text, tokenIds.slice(0, kept))
    return kept === undefined ? undefined : { keep: kept, reason: 'stop' }
  }

  #onFinish({ requestId, reason, error, usage, debug }: EngineRequestEnd): void {
    const request = this.#requests.get(requestId)
    if (!request) return
    this.#requests.delete(requestId)
    const text = request.text?.finish() ?? ''
    const end = { finish_reason: reason ?? 'abort', seed: request.seed, usage, ...(debug && { debug }) }
    this.#outbox.end(requestId, text, error ?? end)
  }

  #fail(error: WeirError): void {
    this.#engine.fail(error)
    this.#outbox.send()
    void this.#loop.stop()
  }
}

function noTokenizer(what: string, instead: string): WeirError {
  return new WeirError(
    'INVALID_REQUEST',
    `${what} needs a tokenizer.json beside the model, which has none: use ${instead}`,
  )
}
