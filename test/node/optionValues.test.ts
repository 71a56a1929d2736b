/** Any value of any numeric option: it is refused by the option's name, or the plan of the buffers is exact and no adapter is asked for more than it has. */

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { checkLoadOptions, readLoadOptions } from '../../src/api/options.ts'
import type { ModelWeights } from '../../src/backend/backend.ts'
import { Arena } from '../../src/gpu/arena.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { EngineOptions, LoadOptions } from '../../src/protocol/options.ts'
import { OPTION_NUMBERS, SPECULATIVE_NUMBERS } from '../../src/protocol/ranges.ts'
import { allBuffers, memoryPlan, planBuffers } from '../../src/runner/bufferPlan.ts'
import { resolveOptions } from '../../src/worker/engineOptions.ts'
import { anyValue } from '../helpers/anyValue.ts'
import { GPU_DEFAULTS } from '../helpers/backendDefaults.ts'
import { openTestModel } from '../helpers/openTestModel.ts'

const NAMES = [...Object.keys(OPTION_NUMBERS), ...Object.keys(SPECULATIVE_NUMBERS).map((name) => `speculative.${name}`)]

describe('any value of an option', () => {
  let spec: ModelSpec
  let weights: ModelWeights

  beforeAll(async () => {
    ;({ spec, weights } = await openTestModel('fairy-tales'))
  })

  function resolve(path: string, value: unknown): EngineOptions {
    const [option = '', field] = path.split('.')
    const method = field?.startsWith('promptLookup') ? 'ngram' : 'mtp'
    const nested = { method, numSpeculativeTokens: 2, ...(field && { [field]: value }) }
    const options = field ? { speculative: nested } : { [option]: value }
    const given = checkLoadOptions(readLoadOptions(options as LoadOptions))
    return resolveOptions(given, { drafter: true, maxPositions: spec.maxPositions }, GPU_DEFAULTS)
  }

  it('is refused by its name, or planned to the byte; what no adapter binds is LIMIT_EXCEEDED before it is created', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...NAMES), anyValue, async (name, value) => {
        const options = attempt(() => resolve(name, value))
        if (options instanceof WeirError) {
          expect(options.code).toBe('INVALID_OPTION')
          expect(options.message).toContain(name)
          return
        }
        const plan = memoryPlan(spec, options, weights.tensors)
        for (const { name, bytes } of plan.buffers) expect(Number.isSafeInteger(bytes), name).toBe(true)
        expect(Number.isSafeInteger(plan.totalBytes)).toBe(true)
        if (typeof value === 'number' && value > 2 ** 25 && /Batched|kvCache/.test(name)) {
          const refused = await emptyArena()
            .allocate(allBuffers(planBuffers(spec, options, weights.tensors)))
            .catch((error) => error)
          expect(refused).toMatchObject({ code: 'LIMIT_EXCEEDED', message: expect.stringContaining(`lower ${name}`) })
        }
      }),
      {
        numRuns: 700,
        examples: [
          ['kvCacheTokens', 2 ** 31 - 1],
          ['kvCacheTokens', 2 ** 53 - 1],
          ['maxNumBatchedTokens', 2 ** 31 - 1],
          ['maxModelLen', 2 ** 53 - 1],
          ['maxNumSeqs', 2 ** 53 - 1],
        ],
      },
    )
  })
})

function attempt<T>(call: () => T): T | WeirError {
  try {
    return call()
  } catch (thrown) {
    if (thrown instanceof WeirError) return thrown
    throw thrown
  }
}

/** Of an adapter with limits as wide as any has; nothing can be created on it. */
function emptyArena(): Arena {
  const limits = new Proxy({}, { get: () => 2 ** 32 - 4 })
  return new Arena({ limits } as unknown as ConstructorParameters<typeof Arena>[0])
}
