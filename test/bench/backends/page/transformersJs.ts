/**
 * transformers.js. Several prompts are one call with a batch of equal lengths, which is its only way to answer them together: all
 * begin and end at the same time.
 */

import type { Load } from './driver.ts'

interface Tensor {
  tolist(): bigint[][]
}

interface Model {
  generate(fields: object): Promise<Tensor>
}

interface Library {
  readonly env: {
    allowRemoteModels: boolean
    localModelPath: string
    useBrowserCache: boolean
    readonly backends: { readonly onnx: { readonly wasm: { wasmPaths: object; numThreads: number } } }
  }
  readonly AutoModelForCausalLM: { from_pretrained(name: string, options: object): Promise<Model> }
  readonly Tensor: new (type: string, values: BigInt64Array, shape: readonly number[]) => Tensor
}

export const loadTransformersJs: Load = async ({ threads, device }) => {
  const files = `${location.origin}/transformers`
  const { env, AutoModelForCausalLM, Tensor }: Library = await import(/* @vite-ignore */ `${files}/transformers.js`)
  Object.assign(env, { allowRemoteModels: false, allowLocalModels: true, localModelPath: '/models/' })
  const wasmPaths = { mjs: `${files}/ort.js`, wasm: `${files}/ort.wasm` }
  Object.assign(env.backends.onnx.wasm, { wasmPaths, numThreads: threads })
  const model = await AutoModelForCausalLM.from_pretrained('fairy-tales', {
    device,
    dtype: 'fp32',
    session_options: { externalData: [{ path: 'weights', data: 'onnx/weights' }] },
  })
  const batch = (rows: readonly (readonly number[])[]) =>
    new Tensor('int64', BigInt64Array.from(rows.flat(), BigInt), [rows.length, rows[0]?.length ?? 0])
  return {
    runsOn: device === 'wasm' ? `${threads} thread(s)` : 'WebGPU',
    driver: {
      generate: async (prompts, count) => {
        const output = await model.generate({
          inputs: batch(prompts.map(({ ids }) => ids)),
          attention_mask: batch(prompts.map(({ ids }) => ids.map(() => 1))),
          do_sample: false,
          max_new_tokens: count,
          eos_token_id: -1,
        })
        return output.tolist().map((ids, index) => ids.slice(prompts[index]?.ids.length ?? 0).map(Number))
      },
    },
  }
}
