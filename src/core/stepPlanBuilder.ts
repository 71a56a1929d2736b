/** The plan of a step from what the scheduler decided: ids and positions are read from the requests, nothing is decided. */

import { assert } from '../util/math.ts'
import { targetRows } from './cost.ts'
import { adjustsLogits } from './samplingParams.ts'
import type { ScheduledRequest, SchedulerOutput } from './schedule/schedulerOutput.ts'
import type { BlockWrite, PlannedRequest, StepPlan, TableWrite, Verification } from './stepPlan.ts'

const NO_TOKENS: readonly number[] = []

export function buildStepPlan(output: SchedulerOutput): StepPlan {
  const tableWrites: TableWrite[] = []
  const blockWrites: BlockWrite[] = []
  for (const scheduled of output.requests) {
    const { running, admitted, firstBlock, newBlocks } = scheduled
    if (admitted) tableWrites.push(tableWrite(scheduled))
    for (const [i, block] of newBlocks.entries()) {
      blockWrites.push({ tableRow: running.tableRow, index: firstBlock + i, block })
    }
  }
  return {
    step: output.step,
    rows: targetRows(output.requests),
    sampledRows: output.rows.sampled,
    kvPassRows: output.rows.kvPass,
    requests: output.requests.map((scheduled) => plannedRequest(scheduled, output.drafts.verification)),
    tableWrites,
    blockWrites,
  }
}

function plannedRequest(scheduled: ScheduledRequest, verification: Verification | undefined): PlannedRequest {
  const { running, prefill, firstPosition, n, k, m, samples, catchUp, catchUpFrom, inKvPass } = scheduled
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
    drafts: k > 0 ? running.proposal?.slice(0, k) : undefined,
    ...(verification && { verification }),
    nextToken: samples ? -1 : knownToken(tokens, end),
    inKvPass,
    catchUpFrom,
    catchUpTokens: catchUp > 0 ? tokens.slice(catchUpFrom + 1, catchUpFrom + 1 + catchUp) : NO_TOKENS,
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
