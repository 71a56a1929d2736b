/** wllama, llama.cpp in WebAssembly, without WebGPU. Concurrent completions share its steps. Prompts are text: it takes no ids. */

import type { Load, Prompt } from './driver.ts'

interface Completion {
  readonly choices: readonly { readonly text: string }[]
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

interface Library {
  readonly Wllama: new (
    paths: { default: string },
    config: object,
  ) => {
    loadModelFromUrl(url: string, options: object): Promise<void>
    createCompletion(fields: object): Promise<Completion>
    getNumThreads(): number
  }
}

/** Slots, and tokens of all of them together. */
const STREAMS = 8
const CONTEXT = 8192

export const loadWllama: Load = async ({ threads }) => {
  const files = `${location.origin}/wllama`
  const { Wllama }: Library = await import(/* @vite-ignore */ `${files}/index.js`)
  const wllama = new Wllama({ default: `${files}/wllama.wasm` }, { suppressNativeLog: true })
  await wllama.loadModelFromUrl(`${location.origin}/models/fairy-tales/model.gguf`, {
    n_threads: threads,
    n_gpu_layers: 0,
    n_parallel: STREAMS,
    n_ctx: CONTEXT,
    useCache: false,
  })
  return {
    runsOn: `${wllama.getNumThreads()} thread(s)`,
    driver: {
      generate: async (prompts, count) => {
        const answer = async ({ ids, text }: Prompt): Promise<string> => {
          const fields = { max_tokens: count, temperature: 0, ignore_eos: true }
          const { choices, usage } = await wllama.createCompletion({ prompt: text, ...fields })
          if (usage.prompt_tokens !== ids.length || usage.completion_tokens !== count) {
            const wanted = `${ids.length} and ${count}`
            throw new Error(`${usage.prompt_tokens} and ${usage.completion_tokens} tokens, not ${wanted}`)
          }
          return choices[0]?.text ?? ''
        }
        return Promise.all(prompts.map(answer))
      },
    },
  }
}
