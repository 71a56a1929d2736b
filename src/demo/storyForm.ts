/** The one field of the page: how a story of the visitor's own begins. Enter sends it, Shift and Enter begin a new line. */

import { byId } from './dom.ts'

/** @param onSend with what was typed, never blank */
export function storyForm(onSend: (opening: string) => void): void {
  const form = byId('add-story', HTMLFormElement)
  const field = byId('prompt', HTMLTextAreaElement)
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (field.value.trim() !== '') onSend(field.value.trim())
  })
  field.addEventListener('keydown', (event) => {
    // An Enter that picks a word of an input method is not meant for the form.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
    event.preventDefault()
    form.requestSubmit()
  })
}
