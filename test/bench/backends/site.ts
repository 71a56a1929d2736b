/** The folder that the benchmark serves: the page's script, weir's dist, the peers' files, and the model in each one's format. */

import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { build } from 'vite'
import { WEIGHTS_FILE } from '../../../src/ort/onnx/model.ts'
import { readCheckpoint } from './checkpoint.ts'
import { ggufFile } from './ggufModel.ts'
import { onnxModel } from './onnxModel.ts'

const FOLDER = 'out/bench/backends'
/** The model's checkpoint. */
export const MODEL = 'public/models/fairy-tales'

const PAGE =
  '<!doctype html><title>backends</title><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>'

/** @param modules the folder of the peers' packages. @returns the folder to serve */
export async function buildSite(modules: string): Promise<string> {
  if (!existsSync('dist/index.js')) throw new Error('dist/ is not built: run "npm run build" first')
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER, { recursive: true })
  await build({
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    build: {
      outDir: FOLDER,
      emptyOutDir: false,
      target: 'es2023',
      lib: { entry: 'test/bench/backends/page/main.ts', formats: ['es'], fileName: () => 'page.js' },
    },
  })
  writeFileSync(`${FOLDER}/index.html`, PAGE)
  cpSync('dist', `${FOLDER}/weir`, { recursive: true })
  // Named .js: the server does not know .mjs.
  const files = {
    '@huggingface/transformers/dist/transformers.min.js': 'transformers/transformers.js',
    // The build that transformers.js takes by default, for both devices.
    'onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.mjs': 'transformers/ort.js',
    'onnxruntime-web/dist/ort-wasm-simd-threaded.asyncify.wasm': 'transformers/ort.wasm',
    '@wllama/wllama/esm/index.js': 'wllama/index.js',
    '@wllama/wllama/esm/wasm/wllama.wasm': 'wllama/wllama.wasm',
  }
  for (const [from, to] of Object.entries(files)) cpSync(`${modules}/${from}`, `${FOLDER}/${to}`)
  writeModel(`${FOLDER}/models/fairy-tales`)
  return FOLDER
}

function writeModel(folder: string): void {
  cpSync(MODEL, folder, { recursive: true })
  const checkpoint = readCheckpoint(MODEL)
  mkdirSync(`${folder}/onnx`)
  const { model, weights } = onnxModel(checkpoint)
  writeFileSync(`${folder}/onnx/model.onnx`, model)
  writeFileSync(`${folder}/onnx/${WEIGHTS_FILE}`, weights)
  writeFileSync(`${folder}/model.gguf`, ggufFile(checkpoint, `${MODEL}/tokenizer.json`))
}
