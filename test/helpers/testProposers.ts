/** Proposers for tests: one that knows what comes, and the same with every draft counted as wrong, or as right. */

import type { Proposer } from '../../src/core/drafting/proposer.ts'
import type { Request } from '../../src/core/request.ts'
import type { Verification } from '../../src/core/stepPlan.ts'

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
