/** What a page of the comparison asks of a runtime. It must never know which one it is. */

export interface DriverOptions {
  readonly threads: number
  readonly device: 'wasm' | 'webgpu'
}

export interface Prompt {
  readonly ids: readonly number[]
  /** the same as text, which a runtime's tokenizer turns into these ids */
  readonly text: string
}

export interface Driver {
  /**
   * Answers all prompts at once, greedily, each with exactly `count` tokens, whatever they are.
   * @param prompts [streams] all of one length
   */
  generate(prompts: readonly Prompt[], count: number): Promise<Answers>
}

/** [streams]; token ids, or the text where a runtime gives only that */
export type Answers = readonly (readonly number[] | string)[]

/** Loads the model into a runtime and says in words what it runs on. */
export type Load = (options: DriverOptions) => Promise<{ readonly driver: Driver; readonly runsOn: string }>
