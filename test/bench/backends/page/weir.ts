/** weir as shipped: the files of dist, through the public API, with default options. */

import type { LLM } from '../../../../src/index.ts'
import type { Load } from './driver.ts'

interface Library {
  readonly LLM: typeof LLM
}

export const loadWeir: Load = async ({ threads, device }) => {
  const { LLM }: Library = await import(/* @vite-ignore */ `${location.origin}/weir/index.js`)
  const llm = await LLM.load('/models/fairy-tales', { backend: device, numThreads: threads })
  const fields = { temperature: 0, ignore_eos: true }
  const on =
    llm.device.backend === 'wasm'
      ? `${llm.device.threads} thread(s)`
      : llm.device.adapter.description || llm.device.adapter.architecture
  return {
    runsOn: `${on}, B = ${llm.options.maxNumBatchedTokens}`,
    driver: {
      generate: async (prompts, count) => {
        const results = await Promise.all(
          prompts.map(({ ids }) =>
            llm.generate({ prompt_token_ids: [...ids] }, { ...fields, max_tokens: count }).result(),
          ),
        )
        return results.map(({ token_ids }) => token_ids)
      },
    },
  }
}
