/** What becomes of a story, in the words of the page, and what is kept of one. It never knows the document or the engine. */

import type { FinishReason } from '../index.ts'

export type StoryState = 'ready' | 'waiting' | 'streaming' | 'done' | 'stopped' | 'error'

/** Said of one story, and counted in the line above all of them. */
export const STATE_NAMES: Readonly<Record<StoryState, string>> = {
  ready: 'waiting for the model',
  waiting: 'waiting for its turn',
  streaming: 'writing',
  done: 'ended',
  stopped: 'stopped by you',
  error: 'failed',
}

export interface StoryEnd {
  readonly state: 'done' | 'stopped'
  /** why it is no longer than it is */
  readonly text: string
}

/** How a story ended that no error ended. @param tokens that were written */
export function storyEnd(reason: FinishReason, tokens: number): StoryEnd {
  const count = tokensText(tokens)
  switch (reason) {
    case 'length':
      return { state: 'done', text: `stopped at ${count}` }
    case 'stop':
      return { state: 'done', text: `ended by itself, ${count}` }
    case 'abort':
      return { state: 'stopped', text: `stopped by you, ${count}` }
  }
}

export function tokensText(tokens: number): string {
  return tokens === 1 ? '1 token' : `${tokens} tokens`
}

/** A story of the visitor's own. */
export interface OwnStory {
  readonly opening: string
  /** decides its seed */
  readonly index: number
  /** with its end: what was written */
  readonly text?: string
  /** undefined: still to be written */
  readonly end?: StoryEnd
}
