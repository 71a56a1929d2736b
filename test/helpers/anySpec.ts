/** Small model specs of every combination of properties, drawn by fast-check. */

import fc from 'fast-check'
import type { ModelSpec, RopeSpec } from '../../src/models/modelSpec.ts'
import { SMALL } from './denseReference.ts'

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

/** Beyond the models of one table: positions up to 64. */
const scalings: fc.Arbitrary<RopeSpec['scaling']> = fc.constantFrom(
  undefined,
  { kind: 'linear', factor: 4 },
  { kind: 'llama3', factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalPositions: 16 },
  {
    kind: 'yarn',
    ...{ factor: 4, betaFast: 32, betaSlow: 1, truncate: true, originalPositions: 16, attentionFactor: 1.14 },
  },
)

const properties = fc.record({
  norms: fc.constantFrom('pre', 'sandwich', 'post'),
  qkNorm: fc.constantFrom('head', 'whole', undefined),
  qkvBias: fc.boolean(),
  outputBias: fc.boolean(),
  mlpBias: fc.boolean(),
  activation: fc.constantFrom('silu', 'gelu_tanh'),
  attentionSoftcap: optional(fc.constantFrom(0.5, 3, 50)),
  queryScaling: optional(fc.constant({ beta: 0.3, originalPositions: 5 })),
  embeddingScale: fc.constantFrom(1, 12, Math.sqrt(20)),
  residualScale: fc.constantFrom(1, 0.22),
  logitScale: fc.constantFrom(1, 1 / 6),
  logitSoftcap: optional(fc.constantFrom(0.1, 30)),
  tiedEmbeddings: fc.boolean(),
} satisfies { readonly [name in keyof ModelSpec]?: fc.Arbitrary<ModelSpec[name]> })

/** Of the first, matrices have no quantised format. */
const sizes = fc.constantFrom(
  { hiddenSize: 20, intermediateSize: 36 },
  { hiddenSize: 32, intermediateSize: 64 },
  { hiddenSize: 64, intermediateSize: 48 },
)

const heads = fc.constantFrom(
  { numHeads: 3, numKvHeads: 1, headDim: 12 },
  { numHeads: 4, numKvHeads: 2, headDim: 16 },
  { numHeads: 2, numKvHeads: 2, headDim: 8 },
)

export const anySpec: fc.Arbitrary<ModelSpec> = fc
  .record({ properties, sizes, heads, numLayers: fc.integer({ min: 1, max: 4 }), mtp: fc.boolean() })
  .chain(({ properties, sizes, heads, numLayers, mtp }) => {
    const rope = fc.record({
      dims: fc.constantFrom(heads.headDim, 8),
      theta: fc.constantFrom(10_000, 100),
      scaling: scalings,
    })
    return fc.array(rope, { maxLength: 2 }).chain((ropes) => {
      const layer = fc.record({
        cache: fc.constant('paged' as const),
        window: optional(fc.constantFrom(1, 3, 16, 21)),
        rope: ropes.length > 0 ? optional(fc.nat(ropes.length - 1)) : fc.constant(undefined),
      })
      return fc.array(layer, { minLength: numLayers, maxLength: numLayers }).map(
        (layers): ModelSpec => ({
          ...SMALL,
          ...properties,
          ...sizes,
          ...heads,
          numLayers,
          layers,
          ropes,
          // Scores of random heads are small; some caps should bind.
          attentionScale: 3 / Math.sqrt(heads.headDim),
          mtp: mtp ? SMALL.mtp : undefined,
        }),
      )
    })
  })
