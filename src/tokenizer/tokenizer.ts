/**
 * Converts text to token ids and back with a model's tokenizer.json, through @huggingface/tokenizers. It must never know
 * requests, models or chat templates: a special token is only one that may be left out of the text.
 *
 * Differences from the package: decoding [] gives '' (the package throws), ids without a token decode to '', the clean-up
 * of spaces before punctuation is never applied (it would change text already streamed), and byte-level tokens are
 * decoded from their bytes here, so that streamed and whole text come from the same function.
 */

import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers'
import { WeirError } from '../protocol/errors.ts'
import { bytesOfToken } from './byteLevel.ts'
import { mostUnitsPerToken } from './textBound.ts'

export interface DecodeOptions {
  /** leave special tokens (end of text, turn markers) out; default true */
  readonly skipSpecial?: boolean
}

export class Tokenizer {
  readonly #hub: HubTokenizer
  readonly #vocab: readonly (string | undefined)[] // [vocabSize]
  /** ids of added tokens, whose content is literal text, not byte-level characters */
  readonly #addedIds: ReadonlySet<number>
  /** cache of token bytes */
  readonly #bytes = new Map<number, Uint8Array>()
  readonly #addBos: boolean
  /** most UTF-16 units of text per token; Infinity: unknown */
  readonly #unitsPerToken: number

  /** special tokens, which `skipSpecial` leaves out */
  readonly specialIds: ReadonlySet<number>
  readonly bosTokenId: number | undefined
  /** every token stands for bytes of UTF-8, so that a token can be decoded without its neighbours */
  readonly byteLevel: boolean

  /**
   * @param tokenizerJson tokenizer.json, parsed
   * @param tokenizerConfig tokenizer_config.json, parsed; undefined where the model has none
   * @throws MODEL_FORMAT naming the file and the fault
   */
  static fromFiles(tokenizerJson: unknown, tokenizerConfig: unknown): Tokenizer {
    const json = record('tokenizer.json', tokenizerJson)
    const config = record('tokenizer_config.json', tokenizerConfig ?? {})
    try {
      return new Tokenizer(new HubTokenizer(json, config), json, config)
    } catch (thrown) {
      if (thrown instanceof WeirError) throw thrown
      throw formatError('tokenizer.json', thrown instanceof Error ? thrown.message : String(thrown), thrown)
    }
  }

  private constructor(hub: HubTokenizer, json: JsonObject, config: JsonObject) {
    const vocab = hub.model?.vocab
    if (!vocab || hub.model?.tokens_to_ids.size === 0) throw formatError('tokenizer.json', 'its vocabulary is empty')
    for (const [token, id] of hub.model?.tokens_to_ids ?? []) {
      if (!Number.isSafeInteger(id) || id < 0) {
        throw formatError('tokenizer.json', `token ${JSON.stringify(token)} has the id ${String(id)}`)
      }
    }
    const added = hub.get_added_tokens_decoder()
    this.#hub = hub
    this.#vocab = vocab
    this.#addedIds = new Set(added.keys())
    this.specialIds = new Set([...added.values()].filter(({ special }) => special).map(({ id }) => id))
    this.byteLevel = isByteLevel(json.decoder) && !hub.model?.end_of_word_suffix
    this.bosTokenId = tokenId(hub, config.bos_token)
    this.#addBos = config.add_bos_token === true
    this.#unitsPerToken = mostUnitsPerToken(json, config, hub.model?.tokens_to_ids.keys() ?? [])
    if (this.#addBos && this.bosTokenId === undefined) {
      throw formatError('tokenizer_config.json', 'add_bos_token is true but bos_token names no token of the vocabulary')
    }
  }

  /** 1 + the highest id that has a token. */
  get vocabSize(): number {
    return this.#vocab.length
  }

  /** Whether the id has a token: a model's vocabulary may be padded past the tokenizer's. */
  has(id: number): boolean {
    return this.#vocab[id] !== undefined
  }

  /** The id of a token by its whole spelling; undefined: there is none. */
  idOf(token: string): number | undefined {
    return tokenId(this.#hub, token)
  }

  /** A lower bound of the tokens in a text of so many UTF-16 units, in constant time. */
  leastTokens(units: number): number {
    return Math.ceil(units / this.#unitsPerToken)
  }

  /** The ids of a text. Special tokens in the text are recognised; none is added except the BOS that the config asks for. */
  encode(text: string): number[] {
    const ids: readonly (number | undefined)[] = this.#hub.encode(text, { add_special_tokens: false }).ids
    const known = ids.filter((id) => id !== undefined)
    return this.#addBos && this.bosTokenId !== undefined ? [this.bosTokenId, ...known] : known
  }

  /** The text of ids; invalid UTF-8 becomes U+FFFD, ids without a token become ''. */
  decode(ids: readonly number[], { skipSpecial = true }: DecodeOptions = {}): string {
    const shown = ids.filter((id) => this.has(id) && !(skipSpecial && this.specialIds.has(id)))
    if (shown.length === 0) return ''
    if (this.byteLevel) return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.#joinedBytes(shown))
    return this.#hub.decode(shown, { skip_special_tokens: false, clean_up_tokenization_spaces: false })
  }

  #joinedBytes(ids: readonly number[]): Uint8Array {
    const parts = ids.map((id) => this.tokenBytes(id))
    const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
    let offset = 0
    for (const part of parts) {
      joined.set(part, offset)
      offset += part.length
    }
    return joined
  }

  /** The bytes of a token, if `byteLevel`; none for an id without a token. */
  tokenBytes(id: number): Uint8Array {
    const known = this.#bytes.get(id)
    if (known) return known
    const token = this.#vocab[id] ?? ''
    const bytes = this.#addedIds.has(id) ? new TextEncoder().encode(token) : bytesOfToken(token)
    this.#bytes.set(id, bytes)
    return bytes
  }
}

type JsonObject = Readonly<Record<string, unknown>>

function record(file: string, value: unknown): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject
  throw formatError(file, 'expected a JSON object')
}

function formatError(file: string, fault: string, cause?: unknown): WeirError {
  return new WeirError('MODEL_FORMAT', `${file}: ${fault}`, { file }, { cause })
}

/** Whether the decoder is byte-level only: a further step might look at several tokens. */
function isByteLevel(decoder: unknown): boolean {
  if (typeof decoder !== 'object' || decoder === null || !('type' in decoder)) return false
  if (decoder.type === 'ByteLevel') return true
  const steps = decoder.type === 'Sequence' && 'decoders' in decoder ? decoder.decoders : undefined
  return Array.isArray(steps) && steps.length === 1 && isByteLevel(steps[0])
}

/** The id of a token given as a string or as `{ content }`. */
function tokenId(hub: HubTokenizer, token: unknown): number | undefined {
  const content = typeof token === 'object' && token !== null && 'content' in token ? token.content : token
  return typeof content === 'string' ? hub.token_to_id(content) : undefined
}
