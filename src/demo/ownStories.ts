/** The visitor's own stories, kept in this tab across reloads of the page. It knows them as data; the document it does not. */

import type { OwnStory, StoryEnd } from './storyState.ts'

const KEY = 'weir.stories'

/** The stories that were saved; none where storage is forbidden, or holds something else. */
export function savedStories(): OwnStory[] {
  try {
    return parseStories(sessionStorage.getItem(KEY) ?? '[]')
  } catch {
    return []
  }
}

export function saveStories(stories: readonly OwnStory[]): void {
  try {
    sessionStorage.setItem(KEY, JSON.stringify(stories))
  } catch {
    // Forbidden or full: they stay for as long as the page does.
  }
}

/** The stories in `text`, without those that are not what `saveStories` writes. @throws SyntaxError if it is no JSON */
export function parseStories(text: string): OwnStory[] {
  const parsed: unknown = JSON.parse(text)
  return Array.isArray(parsed) ? parsed.filter(isStory) : []
}

function isStory(value: unknown): value is OwnStory {
  if (!isRecord(value)) return false
  const { opening, index, text, end } = value
  const written = text === undefined || typeof text === 'string'
  return typeof opening === 'string' && Number.isSafeInteger(index) && written && (end === undefined || isEnd(end))
}

function isEnd(value: unknown): value is StoryEnd {
  return isRecord(value) && typeof value.text === 'string' && (value.state === 'done' || value.state === 'stopped')
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
