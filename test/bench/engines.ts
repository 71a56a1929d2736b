/** The engine in this process, on Dawn. */

import { LLM, type LoadOptions } from '../../src/index.ts'
import { createService } from '../../src/worker/service.ts'
import { folderFetch, MODELS } from '../helpers/folderFetch.ts'
import { nodeGpu } from '../helpers/gpuDevice.ts'

export const FAIRY_TALES = MODELS['fairy-tales']

/** Loads a model into an engine of this process, on Dawn. */
export function load(modelUrl: string, options: LoadOptions): Promise<LLM> {
  const service = createService({ gpu: nodeGpu(), now: () => performance.now(), fetch: folderFetch as typeof fetch })
  return LLM.connect(service, modelUrl, options)
}
