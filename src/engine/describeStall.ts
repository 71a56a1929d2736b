/** Words for a step that holds no request though some are unfinished: an error of ours, told with all that led to it. */

import type { Scheduler } from '../core/schedule/scheduler.ts'

export function describeStall({ running, waiting, kv }: Scheduler): string {
  const lines = [
    `a step holds no request: ${running.length} running, ${waiting.size} waiting, ${kv.freeBlocks} of ${kv.totalBlocks} KV blocks free`,
    ...running.map(
      ({ request, computed, prefillEnd, drafts, stepsInFlight }) =>
        `running ${request.id}: ${computed} computed, ${prefillEnd} known at admission, ${request.tokens.length} of ` +
        `${request.maxTotal} tokens, ${drafts} drafts, ${stepsInFlight} in flight, ${kv.table(request.id).length} blocks`,
    ),
    ...[...waiting].map(({ id, tokens, maxTotal }) => `waiting ${id}: ${tokens.length} of ${maxTotal} tokens`),
  ]
  return lines.join('\n')
}
