/** The frequencies of rotary position embedding, with their scaling, in float64. It must never know how a table of them is stored. */

import type { ModelSpec, RopeScaling, RopeSpec } from './modelSpec.ts'

export interface RopeFrequencies {
  /** angle of a pair of dims at position 1, [dims / 2] */
  readonly frequencies: readonly number[]
  /** cosines and sines are multiplied by it */
  readonly factor: number
}

/**
 * The frequencies for an engine of `maxModelLen` tokens. They depend on it in `longrope` alone: chosen once, so that cached keys stay
 * valid.
 */
export function ropeFrequencies({ dims, theta, scaling }: RopeSpec, maxModelLen: number): RopeFrequencies {
  const plain = Array.from({ length: dims / 2 }, (_, i) => theta ** ((-2 * i) / dims))
  if (!scaling) return { frequencies: plain, factor: 1 }
  switch (scaling.kind) {
    case 'linear':
      return { frequencies: plain.map((frequency) => frequency / scaling.factor), factor: 1 }
    case 'llama3':
      return { frequencies: plain.map((frequency) => llama3(frequency, scaling)), factor: 1 }
    case 'yarn':
      return { frequencies: yarn(plain, dims, theta, scaling), factor: scaling.attentionFactor }
    case 'longrope': {
      const { shortFactors, longFactors, originalPositions, attentionFactor } = scaling
      return {
        frequencies: divided(plain, maxModelLen > originalPositions ? longFactors : shortFactors),
        factor: attentionFactor,
      }
    }
    case 'divisors':
      return { frequencies: divided(plain, scaling.divisors), factor: 1 }
  }
}

function divided(frequencies: readonly number[], divisors: readonly number[]): number[] {
  return frequencies.map((frequency, i) => frequency / (divisors[i] ?? Number.NaN))
}

/** What queries at a position are multiplied by beside `attentionScale` (Llama 4's temperature tuning). */
export function queryFactor({ queryScaling }: Pick<ModelSpec, 'queryScaling'>, position: number): number {
  if (!queryScaling) return 1
  return 1 + queryScaling.beta * Math.log(1 + Math.floor(position / queryScaling.originalPositions))
}

/** Long wavelengths are divided, short ones stay, between them it is blended: Llama 3.1. */
function llama3(
  frequency: number,
  {
    factor,
    lowFrequencyFactor: low,
    highFrequencyFactor: high,
    originalPositions,
  }: Extract<RopeScaling, { kind: 'llama3' }>,
): number {
  const wavelength = (2 * Math.PI) / frequency
  if (wavelength > originalPositions / low) return frequency / factor
  if (wavelength < originalPositions / high) return frequency
  const blend = (originalPositions / wavelength - low) / (high - low)
  return ((1 - blend) * frequency) / factor + blend * frequency
}

/** YaRN (Peng et al. 2023): dims that turn often within the original positions stay, those that turn seldom are divided. */
function yarn(
  plain: readonly number[],
  dims: number,
  theta: number,
  { factor, betaFast, betaSlow, truncate, originalPositions }: Extract<RopeScaling, { kind: 'yarn' }>,
): number[] {
  const dimOf = (turns: number) => (dims * Math.log(originalPositions / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const [fast, slow] = [dimOf(betaFast), dimOf(betaSlow)]
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0)
  const above = Math.min(truncate ? Math.ceil(slow) : slow, dims - 1)
  const high = above === low ? above + 0.001 : above
  return plain.map((frequency, i) => {
    const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1)
    return (frequency / factor) * ramp + frequency * (1 - ramp)
  })
}
