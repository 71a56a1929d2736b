/**
 * The display list: shapes that a chart computes and a painter draws. Positions are CSS pixels from the top left corner. `role`
 * names what a shape stands for: the class of an SVG element. It must never know a canvas or a document.
 */

export interface RectShape {
  readonly kind: 'rect'
  readonly role: string
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
  readonly fill: string
  /** corner radius */
  readonly radius?: number
}

export interface LineShape {
  readonly kind: 'line'
  readonly role: string
  readonly x1: number
  readonly y1: number
  readonly x2: number
  readonly y2: number
  readonly stroke: string
  readonly width: number
}

export interface TextShape {
  readonly kind: 'text'
  readonly role: string
  readonly x: number
  /** y of the baseline */
  readonly y: number
  readonly text: string
  readonly fill: string
  readonly size: number
  readonly anchor: 'start' | 'middle' | 'end'
  readonly bold?: boolean
}

export type Shape = RectShape | LineShape | TextShape

/** Shapes in painting order. */
export type DisplayList = readonly Shape[]

export interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export const FONT_FAMILY = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
