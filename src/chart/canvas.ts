/** Paints a display list on a canvas, snapped to device pixels. It must never know what the shapes mean. */

import { type DisplayList, FONT_FAMILY, type RectShape, type Shape } from './displayList.ts'

/**
 * Paints `shapes` on `canvas`, width x height in CSS pixels; `ratio` is device pixels per CSS pixel. The canvas is resized
 * only when its size changes, because resizing allocates.
 */
export function paint(
  canvas: HTMLCanvasElement,
  shapes: DisplayList,
  width: number,
  height: number,
  ratio: number,
): void {
  const [pixelWidth, pixelHeight] = [Math.round(width * ratio), Math.round(height * ratio)]
  if (canvas.width !== pixelWidth) canvas.width = pixelWidth
  if (canvas.height !== pixelHeight) canvas.height = pixelHeight
  const context = canvas.getContext('2d')
  if (!context) return
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.clearRect(0, 0, width, height)
  for (const shape of shapes) draw(context, shape, ratio)
}

function draw(context: CanvasRenderingContext2D, shape: Shape, ratio: number): void {
  switch (shape.kind) {
    case 'rect':
      context.fillStyle = shape.fill
      fillSnapped(context, shape, ratio)
      break
    case 'line': {
      // Lines are horizontal or vertical and drawn as filled rectangles: a stroke would straddle two device pixels.
      const half = shape.width / 2
      const x = Math.min(shape.x1, shape.x2) - (shape.x1 === shape.x2 ? half : 0)
      const y = Math.min(shape.y1, shape.y2) - (shape.y1 === shape.y2 ? half : 0)
      const width = Math.max(shape.width, Math.abs(shape.x2 - shape.x1))
      const height = Math.max(shape.width, Math.abs(shape.y2 - shape.y1))
      context.fillStyle = shape.stroke
      const [left, top] = [snap(x, ratio), snap(y, ratio)]
      context.fillRect(left, top, atLeastPixel(width, ratio), atLeastPixel(height, ratio))
      break
    }
    case 'text':
      context.font = `${shape.bold ? '600 ' : ''}${shape.size}px ${FONT_FAMILY}`
      context.textAlign = shape.anchor === 'middle' ? 'center' : shape.anchor
      context.textBaseline = 'alphabetic'
      context.fillStyle = shape.fill
      context.fillText(shape.text, shape.x, shape.y)
      break
  }
}

/** Rounds both edges instead of the size, so that stacked segments meet without a gap. */
function fillSnapped(context: CanvasRenderingContext2D, shape: RectShape, ratio: number): void {
  const [left, top] = [snap(shape.x, ratio), snap(shape.y, ratio)]
  const width = snap(shape.x + shape.width, ratio) - left
  const height = snap(shape.y + shape.height, ratio) - top
  context.beginPath()
  if (shape.radius) context.roundRect(left, top, width, height, shape.radius)
  else context.rect(left, top, width, height)
  context.fill()
}

function snap(value: number, ratio: number): number {
  return Math.round(value * ratio) / ratio
}

function atLeastPixel(value: number, ratio: number): number {
  return Math.max(1, Math.round(value * ratio)) / ratio
}
