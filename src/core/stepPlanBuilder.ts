/** The plan of a step from what the scheduler decided: ids and positions are read from the requests, nothing is decided. */

import { assert } from '../util/math.ts'
import { targetRows } from './cost.ts'
import { adjustsLogits } from './samplingParams.ts'
import type { ScheduledRequest, SchedulerOutput } from './schedulerOutput.ts'
import type { PlannedRequest, StepPlan, TableWrite } from './stepPlan.ts'

export function buildStepPlan(output: SchedulerOutput): StepPlan {
  return {
    step: output.step,
    rows: targetRows(output.requests),
    sampledRows: output.rows.sampled,
    requests: output.requests.map(plannedRequest),
    tableWrites: output.requests.filter(({ admitted }) => admitted).map(tableWrite),
    blockWrites: output.requests.flatMap(({ running, firstBlock, newBlocks }) =>
      newBlocks.map((block, i) => ({ tableRow: running.tableRow, index: firstBlock + i, block })),
    ),
  }
}

function plannedRequest(scheduled: ScheduledRequest): PlannedRequest {
  const { running, prefill, firstPosition, n, k, m, samples } = scheduled
  const { tokens } = running.request
  const end = firstPosition + n
  return {
    requestId: running.request.id,
    tableRow: running.tableRow,
    generation: running.generation,
    n,
    k,
    m,
    samples,
    firstPosition,
    ids: prefill ? tokens.slice(firstPosition, end) : undefined,
    drafts: undefined,
    nextToken: samples ? -1 : knownToken(tokens, end),
  }
}

/** The drafter sees the known token after a chunk, be it of the prompt or, after a preemption, of the output. */
function knownToken(tokens: readonly number[], position: number): number {
  const token = tokens[position]
  assert(token !== undefined, `the token at ${position} is known`)
  return token
}

function tableWrite({ running, firstPosition }: ScheduledRequest): TableWrite {
  const { request, tableRow, generation } = running
  return {
    tableRow,
    generation,
    computed: firstPosition,
    lastPosition: request.maxTotal - 1,
    firstOutputPosition: request.promptLength,
    sampling: request.spec.sampling,
    history: adjustsLogits(request.spec.sampling) ? request.tokens.slice() : undefined,
  }
}
