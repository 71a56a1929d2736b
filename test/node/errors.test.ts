/** The class of errors, of which a worker has a copy in each file that it loads. */

import { expect, it, vi } from 'vitest'
import { WeirError } from '../../src/protocol/errors.ts'

it('an error of another copy of the class keeps its code, and nothing else passes for one', async () => {
  vi.resetModules()
  const { WeirError: Other } = await import('../../src/protocol/errors.ts')
  expect(Other).not.toBe(WeirError)
  const error = new Other('OUT_OF_MEMORY', 'no memory', { bytes: 3 })
  expect(error).toBeInstanceOf(WeirError)
  expect(WeirError.from(error)).toBe(error)
  for (const thrown of [new Error('no'), { name: 'WeirError' }, null, undefined, 'WeirError', 7]) {
    expect(thrown instanceof WeirError).toBe(false)
    expect(WeirError.from(thrown).code).toBe('INTERNAL')
  }
})
