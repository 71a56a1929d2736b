/** What a budget policy will lead to, said before it is run. It never knows the document; the engine decides by itself. */

import type { Settings } from './settings.ts'

/** Below this FastDeploy's reserve sets nothing aside. */
const RESERVE_FLOOR = 512

/** @param b the budget that the settings come to. Returns '' where there is nothing to say. */
export function policyAdvice(settings: Settings, b: number): string {
  const { policy, drafts, s, adaptive } = settings
  if (policy !== 'reserve' && policy !== 'uncharged') return ''
  const aside = policy === 'reserve' ? Math.max(0, Math.min(s * (drafts + 1), b - RESERVE_FLOOR)) : 0
  if (drafts === 0) {
    return aside > 0
      ? `Sets ${aside} of ${b} rows aside, which no draft will use.`
      : 'Without drafts it counts like exact.'
  }
  if (aside >= s * drafts) {
    return `Sets ${aside} of ${b} rows aside for drafts in every step, used or not: openings are read more slowly.`
  }
  const count =
    policy === 'uncharged'
      ? 'counts a story as 1 row although its drafts are rows too'
      : aside > 0
        ? `sets aside ${aside} rows, fewer than ${s} stories with ${drafts} drafts can need`
        : `sets nothing aside at budgets up to ${RESERVE_FLOOR}`
  const when = adaptive ? ' With adaptive drafts that comes once drafts pay; untick them to see it at once.' : ''
  return (
    `Will be refused: ${policy} ${count}, so a full step asks for more rows than the buffers hold, and the engine stops with ` +
    `BUDGET_EXCEEDED. Try it to see a wrong count caught in the very step in which it happens.${when}`
  )
}
