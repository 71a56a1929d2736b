/** Colours of the charts on a light and on a dark background. The page's legends use them too. */

export interface ChartTheme {
  /** background of the chart */
  readonly ground: string
  /** background of the plot below the limit */
  readonly channel: string
  readonly grid: string
  readonly muted: string
  readonly ink: string
  /** line at maxNumBatchedTokens */
  readonly limit: string
  readonly base: string
  readonly accepted: string
  readonly rejected: string
  readonly prefill: string
  /** rows above the limit */
  readonly overrun: string
  /** a refused step's rows below the limit */
  readonly refused: string
  /** column of the selected step */
  readonly selection: string
  /** a free block of the KV cache */
  readonly free: string
  /** a free block whose contents the prefix cache may reuse */
  readonly cached: string
  /** a block that several requests hold */
  readonly shared: string
  /** OKLCH lightness and chroma of a request's colour */
  readonly requestColour: readonly [lightness: number, chroma: number]
}

export const LIGHT_THEME: ChartTheme = {
  ground: '#ffffff',
  channel: '#edf5f8',
  grid: '#d3e1e7',
  muted: '#506b76',
  ink: '#10252e',
  limit: '#0b3f54',
  base: '#0f4f78',
  accepted: '#16988a',
  rejected: '#dd9f33',
  prefill: '#6fb1dd',
  overrun: '#cf2626',
  refused: '#eca39c',
  selection: '#cfe3eb',
  free: '#e1ebef',
  cached: '#b4c8d1',
  shared: '#33505c',
  requestColour: [0.64, 0.115],
}

export const DARK_THEME: ChartTheme = {
  ground: '#0f2028',
  channel: '#122c37',
  grid: '#24414d',
  muted: '#93adb7',
  ink: '#e5f0f3',
  limit: '#bfe8f5',
  base: '#3579ae',
  accepted: '#34c9b3',
  rejected: '#e8b24e',
  prefill: '#86bfe6',
  overrun: '#ff5b52',
  refused: '#7a3234',
  selection: '#1f4353',
  free: '#1c3640',
  cached: '#3d5f6d',
  shared: '#cfe0e6',
  requestColour: [0.76, 0.11],
}

/** A request's colour in the block map and on its card. Successive ids differ widely in hue, not in lightness or chroma. */
export function requestColour(id: number, theme: ChartTheme): string {
  const [lightness, chroma] = theme.requestColour
  const hue = Math.round((190 + id * 137.508) % 360)
  return `oklch(${lightness} ${chroma} ${hue})`
}
