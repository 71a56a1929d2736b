/** Runs a prompt's rows alone and stops after every block: the norm of the last row there. Uses the runner's own program. */

import { GREEDY } from '../../src/core/samplingParams.ts'
import type { StepPlan } from '../../src/core/stepPlan.ts'
import { encodeProgram } from '../../src/runner/program.ts'
import { cdiv } from '../../src/util/math.ts'
import { gpuParts } from './gpuEngine.ts'
import type { TestEngine } from './testEngine.ts'

export interface ForwardTrace {
  /** [layers]: L2 norm of the last row's residual after each block */
  readonly layers: readonly number[]
  /** L2 norm of the last row after the final norm */
  readonly final: number
}

/** The engine must be idle. Its buffers must hold the whole prompt. */
export async function traceForward(engine: TestEngine, prompt: readonly number[]): Promise<ForwardTrace> {
  const parts = gpuParts(engine)
  const counts = parts.upload.write(wholePrompt(prompt))
  const program = parts.program.flatMap(({ dispatches }) => dispatches)
  let begin = 0
  /** Runs on from where the last call stopped, through `label`. */
  const upTo = async (label: string, buffer: string): Promise<number> => {
    const end = program.findIndex((dispatch) => dispatch.label === label) + 1
    if (end <= begin) throw new Error(`no dispatch ${label}`)
    const encoder = parts.gpu.device.createCommandEncoder()
    encodeProgram(encoder, program.slice(begin, end), counts)
    begin = end
    const bytes = engine.spec.hiddenSize * 4
    const answer = parts.gpu.device.createBuffer({
      size: bytes,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    })
    encoder.copyBufferToBuffer(parts.arena.buffer(buffer), (prompt.length - 1) * bytes, answer, 0, bytes)
    parts.gpu.device.queue.submit([encoder.finish()])
    await answer.mapAsync(GPUMapMode.READ)
    const row = new Float32Array(answer.getMappedRange()).slice()
    answer.destroy()
    return Math.sqrt(row.reduce((sum, value) => sum + value * value, 0))
  }
  const layers: number[] = []
  for (let layer = 0; layer < engine.spec.numLayers; layer++) layers.push(await upTo(`layer${layer}.down`, 'residual'))
  return { layers, final: await upTo('finalNorm', 'hidden') }
}

function wholePrompt(prompt: readonly number[]): StepPlan {
  const blocks = cdiv(prompt.length, 16)
  return {
    step: 0,
    rows: prompt.length,
    sampledRows: 1,
    kvPassRows: 0,
    requests: [
      {
        requestId: 0,
        tableRow: 0,
        generation: 0,
        n: prompt.length,
        k: 0,
        m: 0,
        samples: true,
        firstPosition: 0,
        ids: prompt,
        drafts: undefined,
        nextToken: -1,
        inKvPass: false,
        catchUpFrom: 0,
        catchUpTokens: [],
      },
    ],
    tableWrites: [
      {
        tableRow: 0,
        generation: 0,
        computed: 0,
        lastPosition: prompt.length,
        firstOutputPosition: prompt.length,
        sampling: GREEDY,
        history: undefined,
      },
    ],
    blockWrites: Array.from({ length: blocks }, (_, index) => ({ tableRow: 0, index, block: index })),
  }
}
