/**
 * How a page and a worker meet: the page's first message brings a port, over which a service of its own answers, and every URL
 * the worker may need. Plain data, no behaviour.
 */

/**
 * Files that the worker loads when they are asked for, as absolute URLs: a worker made of a Blob has no place that relative ones
 * could count from. Undefined: nobody knows where the file is.
 */
export interface AssetUrls {
  /** the module of `LLM.replay` */
  readonly replay?: string | undefined
  /** the backend over ONNX Runtime, ONNX Runtime's WebAssembly file, and the module that loads that */
  readonly ort?: string | undefined
  readonly ortWasm?: string | undefined
  readonly ortGlue?: string | undefined
}

export const CONNECT = 'weir:connect'

/** Page to worker, with one end of a channel. It may be sent before the worker's script has run, and more than once. */
export interface ConnectMessage {
  readonly type: typeof CONNECT
  readonly assets: AssetUrls
  /** a Web Lock that the worker holds for as long as it lives, where there are such locks */
  readonly lock: string
}

export const READY = 'weir:ready'

/** Worker to page, over the channel: the service listens. */
export interface ReadyMessage {
  readonly type: typeof READY
  /** whether the worker holds the lock */
  readonly locked: boolean
}
