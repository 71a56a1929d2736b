/** Random lengths of prompts and outputs, and arrival times. It must never know a model's limits. */

import type { Random } from './random.ts'

export type LengthDistribution =
  | { readonly kind: 'fixed'; readonly tokens: number }
  | { readonly kind: 'uniform'; readonly least: number; readonly most: number }
  | { readonly kind: 'lognormal'; readonly median: number; readonly sigma: number }

/** `uniform`: evenly spaced. `burst`: all at once. */
export type ArrivalProcess =
  | { readonly kind: 'poisson' | 'uniform'; readonly perSecond: number }
  | { readonly kind: 'burst' }

/** Draws a number of tokens, at least 1. */
export function drawLength(distribution: LengthDistribution, random: Random): number {
  switch (distribution.kind) {
    case 'fixed':
      return distribution.tokens
    case 'uniform':
      return distribution.least + random.integer(distribution.most - distribution.least + 1)
    case 'lognormal':
      return Math.max(1, Math.round(distribution.median * Math.exp(distribution.sigma * random.normal())))
  }
}

/** Draws the milliseconds until the next arrival. */
export function drawGap(arrival: ArrivalProcess, random: Random): number {
  switch (arrival.kind) {
    case 'poisson':
      return (1000 / arrival.perSecond) * random.exponential()
    case 'uniform':
      return 1000 / arrival.perSecond
    case 'burst':
      return 0
  }
}
