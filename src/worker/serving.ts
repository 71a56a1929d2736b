/**
 * Serves one loaded model: takes requests as text or ids, runs the engine, and sends the updates of each step as one message.
 * Text is handled here; the engine knows ids only. It must never know how the model was loaded.
 */

import { EngineCore } from '../engine/engineCore.ts'
import type { EngineRequestEnd, NewRequest } from '../engine/engineTypes.ts'
import type { TokenEnd } from '../engine/stopChecker.ts'
import { WeirError } from '../protocol/errors.ts'
import type { Prompt, SamplingFields } from '../protocol/request.ts'
import type { EngineStats, ServiceListener } from '../protocol/service.ts'
import { assert } from '../util/math.ts'
import { shownValue } from '../util/shownValue.ts'
import type { LoadedModel } from './loadModel.ts'
import { StepLoop } from './loop.ts'
import { Outbox } from './outbox.ts'
import { RequestText } from './requestText.ts'
import { SampleDirectory } from './sampleDirectory.ts'
import type { SampleGroup } from './sampleGroup.ts'
import { readFields } from './sampling.ts'

export class Serving {
  readonly #model: LoadedModel
  readonly #engine: EngineCore
  readonly #loop: StepLoop
  readonly #outbox: Outbox
  readonly #directory = new SampleDirectory()

  /** @param now milliseconds */
  constructor(model: LoadedModel, now: () => number, listener: ServiceListener) {
    this.#model = model
    this.#outbox = new Outbox(listener)
    this.#engine = new EngineCore({
      options: model.options,
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
    // The device may be lost while no step is running.
    void model.lost.then((error) => this.#fail(error))
  }

  /** @throws INVALID_REQUEST, UNSERVABLE_REQUEST; after a fatal error, that error */
  submit(id: number, prompt: Prompt, fields: SamplingFields): void {
    const { info, spec, defaults, tokenizer } = this.#model
    const { maxModelLen, maxNumSeqs, debug } = info.options
    const promptTokenIds = this.#promptIds(prompt)
    const { sampling, maxTokens, stop, n, ...rest } = readFields(fields, defaults, spec.vocabSize)
    const { stopTokenIds, ignoreEos, priority, cacheSalt, maxDrafts } = rest
    if (stop.length > 0 && !tokenizer) throw noTokenizer('stop', 'stop_token_ids')
    if (n > maxNumSeqs) throw tooManySamples(n, maxNumSeqs)
    const { eosTokenIds } = spec
    const stopIds = ignoreEos ? stopTokenIds : [...stopTokenIds, ...eosTokenIds]
    const text = () => tokenizer && new RequestText(tokenizer, stop, stopIds)
    this.#begin(id, this.#directory.open(id, n, sampling.seed, text), {
      promptTokenIds,
      // At least 1, so that a prompt that fills maxModelLen is refused for its length, not for its max_tokens.
      maxTokens: maxTokens ?? Math.max(1, maxModelLen - promptTokenIds.length),
      sampling,
      priority,
      cacheSalt,
      maxDrafts,
      stopTokenIds,
      eosTokenIds,
      ignoreEos,
      debug: { logits: debug.logits !== 'off', steps: debug.steps },
    })
    this.#loop.wake()
  }

  /** Ends the unfinished samples of a request with the output they have so far. */
  abort(id: number): void {
    for (const { engineId } of this.#directory.group(id)?.samples ?? []) this.#engine.abort(engineId)
    this.#outbox.send()
  }

  /** Running requests keep their blocks. */
  resetPrefixCache(): void {
    this.#engine.resetPrefixCache()
  }

  stats(): EngineStats {
    const { info, runner } = this.#model
    const { kernels, batchInvariant, allocatedBytes } = runner
    const stats = this.#engine.stats()
    // The caller's ids in place of the engine's; FREE_BLOCK and the like are kept.
    const blockOwners = stats.blockOwners.map((owner) => this.#directory.sample(owner)?.id ?? owner)
    const { device, memory } = info
    return { ...stats, blockOwners, device, plannedBytes: memory.totalBytes, allocatedBytes, kernels, batchInvariant }
  }

  /** @throws INVALID_OPTION without `debug.trace` */
  trace(): string {
    return this.#engine.trace()
  }

  /** Ends every request with DISPOSED. The device is destroyed before the loop stops, so that a step in flight fails at once. */
  async dispose(): Promise<void> {
    this.#fail(new WeirError('DISPOSED', 'the model was disposed of: load it again'))
    this.#model.dispose()
    await this.#loop.stop()
  }

  #promptIds(prompt: Prompt): readonly number[] {
    const { info, tokenizer } = this.#model
    if (typeof prompt === 'string') {
      if (!tokenizer) throw noTokenizer('prompt', 'prompt_token_ids')
      // Before tokenisation, which blocks every other request of this worker.
      checkLength(prompt, tokenizer.leastTokens(prompt.length), info.options.maxModelLen)
      return tokenizer.encode(prompt)
    }
    if (Array.isArray(prompt?.prompt_token_ids)) return prompt.prompt_token_ids
    const shown = shownValue(prompt)
    throw new WeirError(
      'INVALID_REQUEST',
      `the prompt must be a string or { prompt_token_ids } with an array of ids, not ${shown}`,
      { field: 'prompt', value: shown },
    )
  }

  /** Adds all samples to the engine, or none. */
  #begin(id: number, { samples }: SampleGroup, request: Omit<NewRequest, 'id'>): void {
    try {
      for (const { engineId, index } of samples) {
        this.#engine.add({ ...request, id: engineId, sampling: { ...request.sampling, sampleIndex: index } })
      }
    } catch (thrown) {
      this.#drop(id)
      throw thrown
    }
  }

  /** Aborts all samples of a request without sending further updates. */
  #drop(id: number): void {
    for (const { engineId } of this.#directory.drop(id)) this.#engine.abort(engineId)
  }

  #onTokens(engineId: number, tokenIds: readonly number[]): TokenEnd | undefined {
    const sample = this.#directory.sample(engineId)
    assert(sample, `request ${engineId} is a sample`)
    const { text, kept } = sample.text?.push(tokenIds) ?? { text: '', kept: undefined }
    this.#outbox.add(sample, text, tokenIds.slice(0, kept))
    return kept === undefined ? undefined : { keep: kept, reason: 'stop' }
  }

  #onFinish({ requestId, reason, error, usage, debug }: EngineRequestEnd): void {
    const sample = this.#directory.sample(requestId)
    if (!sample) return
    const text = sample.text?.finish() ?? ''
    if (error) {
      this.#outbox.end(sample, text, error)
      this.#drop(sample.id)
      return
    }
    const end = this.#directory.end(sample, usage)
    this.#outbox.end(sample, text, { finish_reason: reason ?? 'abort', ...(debug && { debug }), ...(end && { end }) })
  }

  #fail(error: WeirError): void {
    this.#engine.fail(error)
    this.#outbox.send()
    void this.#loop.stop()
  }
}

function tooManySamples(n: number, maxNumSeqs: number): WeirError {
  return new WeirError(
    'UNSERVABLE_REQUEST',
    `n ${n} exceeds maxNumSeqs ${maxNumSeqs}, the requests that run at once: lower n or raise maxNumSeqs`,
    { field: 'n', n, maxNumSeqs },
  )
}

function checkLength(prompt: string, leastTokens: number, maxModelLen: number): void {
  if (leastTokens < maxModelLen) return
  throw new WeirError(
    'INVALID_REQUEST',
    `the prompt of ${prompt.length} characters has ${leastTokens} tokens at least, and with one new token it exceeds maxModelLen ` +
      `${maxModelLen}: shorten the prompt or raise maxModelLen`,
    { field: 'prompt', leastTokens, maxModelLen },
  )
}

function noTokenizer(field: 'prompt' | 'stop', instead: string): WeirError {
  return new WeirError(
    'INVALID_REQUEST',
    `${field}: text needs a tokenizer.json beside the model, which has none: use ${instead}`,
    { field },
  )
}
