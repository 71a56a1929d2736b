/** Texts about speculation: a step's number of drafts with its reason, and acceptance. They must never know how they are shown. */

import type { DraftChoice, DraftReason, SpeculationStats } from '../protocol/speculation.ts'

/** The reason in words, where the step has drafts and where it has none. */
const REASONS: Readonly<Record<DraftReason, readonly [some: string, none: string]>> = {
  best: ['most tokens per second by what was measured', 'most tokens per second by what was measured'],
  hold: ['as before, while a prompt is read', 'as before, while a prompt is read'],
  probe: ['tried, to measure what they take', 'tried, to measure steps without'],
  'catch-up': ['the drafter reads what it has missed', 'the drafter reads what it has missed'],
  'warm-up': ['steps without are measured first', 'steps without are measured first'],
  off: ['they would lose here', 'even if all were accepted they would lose here'],
  fixed: ['always, whether they pay or not', 'always'],
}

/** A step's number of drafts and the reason for it. */
export function choiceText({ k, reason }: DraftChoice): string {
  const [some, none] = REASONS[reason]
  if (k === 0) return `no drafts: ${none}`
  return `${k} ${k === 1 ? 'draft' : 'drafts'}: ${some}`
}

/** The acceptance chart as one sentence, for screen readers. @param emptyText returned when no draft was verified */
export function acceptanceSummary(
  { verified, accepted }: Pick<SpeculationStats, 'verified' | 'accepted'>,
  emptyText: string,
): string {
  const positions = verified.flatMap((trials, index) => {
    const share = percentText((accepted[index] ?? 0) / trials)
    return trials > 0 ? `draft ${index + 1} ${share} of ${trialsText(trials)}` : []
  })
  return positions.length === 0 ? emptyText : `Accepted by position: ${positions.join(', ')}.`
}

/** A share from 0 to 1 as a percentage. Only 1 is shown as 100 %, and only 0 as 0 %. */
export function percentText(share: number): string {
  const percent = Math.round(share * 100)
  if (percent === 100 && share < 1) return '99 %'
  return percent === 0 && share > 0 ? '< 1 %' : `${percent} %`
}

/** A count, in at most six characters up to a billion: 1,234, 12.3k, 4.5M. */
export function trialsText(count: number): string {
  if (count < 10_000) return count.toLocaleString('en')
  const [value, unit] = count < 999_950 ? [count / 1e3, 'k'] : [count / 1e6, 'M']
  return `${value.toFixed(1)}${unit}`
}
