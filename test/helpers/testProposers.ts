/** Drafting for tests: a proposer that knows what comes, with every draft counted as wrong or as right too, and whims in place of times. */

import type { Request } from '../../src/core/request.ts'
import type { DraftPolicy } from '../../src/core/speculation/draftPolicy.ts'
import type { Proposer } from '../../src/core/speculation/proposer.ts'
import type { Verification } from '../../src/core/stepPlan.ts'
import { hash } from '../bench/simulator/random.ts'

/** @param answerOf a request's whole output, at least as much of it as is needed */
export function oracle(answerOf: (request: Request) => readonly number[], verification?: Verification): Proposer {
  return {
    ...(verification && { verification }),
    propose: (request, limit) => answerOf(request).slice(request.outputLength, request.outputLength + limit),
    forget: () => {},
  }
}

/** Drafts that are never right, unless all are taken for right. */
export function noise(vocabSize: number, verification?: Verification): Proposer {
  return {
    ...(verification && { verification }),
    propose: ({ tokens }, limit) =>
      Array.from({ length: limit }, (_, i) => ((tokens.at(-1) ?? 0) * 31 + tokens.length * 7 + i * 13) % vocabSize),
    forget: () => {},
  }
}

/**
 * Another number of drafts in every step and for every request, by a seed, and a drafter that follows or not: no measured times
 * would bring such decisions.
 */
export function capricious(most: number, seed: number): DraftPolicy {
  let step = 0
  return {
    decide: ({ requests }) => {
      const k = hash(seed, ++step) % (most + 1)
      const runKvPass = k > 0 || hash(seed, step, 0) % 2 === 0
      const fewer = new Map(requests.map(({ id }) => [id, hash(seed, step, id) % (k + 1)]))
      return { k, reason: 'probe', fewer, runKvPass, goodput: [] }
    },
    observe: () => {},
    forget: () => {},
  }
}
