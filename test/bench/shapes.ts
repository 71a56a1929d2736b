/**
 * Loads and runs models of random weights at the true shapes of SmolLM2-135M (int8 at load), Qwen3-0.6B (MLX 4 bit) and Llama-3.2-1B
 * (GGUF Q4_K_M) on both backends, in this process. The files are made when they are not there, 1.5 GB in all. Reports the time of each
 * phase of loading, host memory, device bytes, pipelines, and seconds per token.
 *
 * WEIR_BENCH_SHAPES: parts of names, separated by commas. WEIR_BENCH_BACKENDS: webgpu, wasm. WEIR_BENCH_TOKENS: 8 by default.
 */

import { create, globals } from 'webgpu'
import type { Backend, OpenBackend } from '../../src/backend/backend.ts'
import { GREEDY } from '../../src/core/samplingParams.ts'
import { EngineCore } from '../../src/engine/engineCore.ts'
import { openDevice } from '../../src/gpu/device.ts'
import { openModel } from '../../src/loader/source.ts'
import { parseModelSpec } from '../../src/models/readConfig.ts'
import { memoryPlan } from '../../src/runner/bufferPlan.ts'
import { createGpuRunner } from '../../src/runner/createGpuRunner.ts'
import { openWeights } from '../../src/worker/openWeights.ts'
import { engineOptions } from '../helpers/coreFixtures.ts'
import { LAZY_MODULES } from '../helpers/lazyModules.ts'
import { rangeFetch } from '../helpers/rangeFetch.ts'
import { printTable, writeFigure } from './figures.ts'
import { checkpointOf, SHAPES, type Shape } from './shapes/checkpoints.ts'

const WANTED = process.env.WEIR_BENCH_SHAPES?.split(',')
const BACKENDS = (process.env.WEIR_BENCH_BACKENDS ?? 'wasm,webgpu').split(',')
const TOKENS = Number(process.env.WEIR_BENCH_TOKENS ?? 8)
const PROMPT = 32
const MIB = 2 ** 20

interface Figures {
  readonly model: string
  readonly backend: string
  readonly openSeconds: number
  readonly fetchSeconds: number
  readonly fetchMiB: number
  readonly compileSeconds: number
  readonly deviceMiB: number
  readonly plannedMiB: number
  readonly hostPeakMiB: number
  readonly pipelines: number | undefined
  readonly promptSeconds: number
  readonly secondsPerToken: number
}

export async function run(): Promise<void> {
  const figures: Figures[] = []
  for (const shape of SHAPES.filter(({ name }) => WANTED?.some((part) => name.includes(part)) ?? true)) {
    for (const name of BACKENDS) {
      figures.push(await measure(shape, name))
      console.log(JSON.stringify(figures.at(-1)))
    }
  }
  const rows = figures.map((each) => [
    `${each.model}, ${each.backend}`,
    each.openSeconds.toFixed(2),
    `${each.fetchSeconds.toFixed(1)} (${(each.fetchMiB / each.fetchSeconds).toFixed(0)} MiB/s)`,
    `${each.compileSeconds.toFixed(1)}${each.pipelines === undefined ? '' : ` (${each.pipelines})`}`,
    each.hostPeakMiB.toFixed(0),
    `${each.deviceMiB.toFixed(0)} of ${each.plannedMiB.toFixed(0)}`,
    each.promptSeconds.toFixed(2),
    each.secondsPerToken.toFixed(3),
  ])
  const columns = ['open s', 'weights s', 'compile s (pipelines)', 'host peak MiB', 'allocated of planned MiB']
  printTable(['', ...columns, `prompt of ${PROMPT} s`, 's per token'], rows)
  writeFigure('shapes.json', `${JSON.stringify(figures, null, 1)}\n`)
}

async function measure(shape: Shape, name: string): Promise<Figures> {
  const url = `https://models.test/${checkpointOf(shape)}`
  const open = await openBackend(name)
  const now = () => performance.now()
  const start = now()
  const files = await openModel(url, { fetch: rangeFetch as typeof fetch })
  const spec = parseModelSpec(files.config, files.generationConfig)
  const quantization = shape.quantization ?? 'none'
  const weights = openWeights(files, spec, quantization)
  const options = {
    ...engineOptions({ maxNumBatchedTokens: 64, maxNumSeqs: 4, maxModelLen: 256, kvCacheTokens: 1024 }),
    kvCacheDtype: name === 'wasm' ? ('f32' as const) : ('f16' as const),
    speculative: undefined,
    debug: { logits: 'off', steps: false, trace: false } as const,
  }
  const planned = open.plan(spec, options, weights.tensors, quantization).totalBytes
  const opened = now()
  let [fetched, peak, fetchMiB] = [opened, 0, 0]
  const base = process.memoryUsage().rss
  const runner = await open.createRunner({
    spec,
    options,
    weights,
    quantization,
    now,
    onProgress: ({ phase, total }) => {
      peak = Math.max(peak, process.memoryUsage().rss - base)
      if (phase !== 'fetch') return
      fetched = now()
      fetchMiB = total / MIB
    },
  })
  const loaded = now()
  const core = new EngineCore({
    options,
    runner,
    vocabSize: spec.vocabSize,
    now,
    drafting: {},
    hooks: { onTokens: () => undefined, onFinish: () => undefined, onStep: () => undefined },
  })
  core.add({
    id: 0,
    promptTokenIds: Array.from({ length: PROMPT }, (_, i) => (31 * i + 7) % spec.vocabSize),
    maxTokens: TOKENS + 1,
    sampling: GREEDY,
    stopTokenIds: [],
    eosTokenIds: [],
    ignoreEos: true,
    priority: 0,
    cacheSalt: undefined,
    debug: { logits: false, steps: false },
  })
  const begun = now()
  await core.step()
  const prompted = now()
  while (core.hasWork()) await core.step()
  const ended = now()
  const deviceMiB = runner.allocatedBytes / MIB
  runner.dispose()
  return {
    model: shape.name,
    backend: name,
    openSeconds: (opened - start) / 1000,
    fetchSeconds: (fetched - opened) / 1000,
    fetchMiB,
    compileSeconds: (loaded - fetched) / 1000,
    deviceMiB,
    plannedMiB: planned / MIB,
    hostPeakMiB: peak / MIB,
    pipelines: open.pipelines(),
    promptSeconds: (prompted - begun) / 1000,
    secondsPerToken: (ended - prompted) / 1000 / TOKENS,
  }
}

interface Opened extends Pick<OpenBackend, 'createRunner'>, Pick<Backend, 'plan'> {
  pipelines(): number | undefined
}

// Dawn ends the process if this object is collected.
let navigatorGpu: GPU | undefined

async function openBackend(name: string): Promise<Opened> {
  if (name === 'wasm') {
    const backend = await LAZY_MODULES.wasm()
    const { createRunner } = await backend.open({})
    return { createRunner, plan: backend.plan, pipelines: () => undefined }
  }
  Object.assign(globalThis, globals)
  navigatorGpu ??= create([])
  const gpu = await openDevice({ gpu: navigatorGpu })
  console.log(`adapter: ${JSON.stringify(gpu.adapter)}`)
  return {
    createRunner: (from) => createGpuRunner({ ...from, gpu }),
    plan: memoryPlan,
    pipelines: () => gpu.pipelines.size,
  }
}
