/** Sizes that both a shader and its host must know, because a shader cannot import one: the same number everywhere. */

import { expect, test } from 'vitest'
import adjustmentWord from '../../shaders/lib/adjustmentWord.wgsl?raw'
import requestTable from '../../shaders/lib/requestTable.wgsl?raw'
import softmax from '../../shaders/lib/softmax.wgsl?raw'
import stepRequest from '../../shaders/lib/stepRequest.wgsl?raw'
import { BLOCK_SIZE, MAX_SPECULATIVE_TOKENS } from '../../src/core/cost.ts'
import { MAX_LOGIT_BIASES } from '../../src/core/samplingParams.ts'
import { MAX_BIASES } from '../../src/kernels/adjustLogits.ts'
import { SPLIT_KEYS } from '../../src/kernels/attentionPlan.ts'
import { KV_BLOCK_SIZE } from '../../src/kernels/kvCache.ts'
import { REQUEST_WORDS, RESULT_WORDS, TABLE_ROW_WORDS } from '../../src/runner/packPlan.ts'

/** The value of `const NAME: u32 = 16u;`. */
function shaderConst(text: string, name: string): number {
  return Number(new RegExp(`const ${name}: u32 = (\\d+)u;`).exec(text)?.[1] ?? Number.NaN)
}

/** 32-bit words of a struct of scalars and arrays of scalars. */
function structWords(text: string, name: string): number {
  const body = new RegExp(`struct ${name} \\{([^}]*)\\}`).exec(text)?.[1] ?? ''
  const members = [...body.matchAll(/^\s*\w+: (?:array<\w+, (\d+)>|\w+),/gm)]
  return members.reduce((words, [, length]) => words + Number(length ?? 1), 0)
}

test('a block has as many tokens in core, kernels and shaders', () => {
  expect(shaderConst(requestTable, 'BLOCK_SIZE')).toBe(BLOCK_SIZE)
  expect(KV_BLOCK_SIZE).toBe(BLOCK_SIZE)
})

test('the request table holds as many drafts as options allow', () => {
  expect(requestTable).toContain(`drafts: array<u32, ${MAX_SPECULATIVE_TOKENS}>`)
  expect(stepRequest).toContain(`tokens: array<u32, ${MAX_SPECULATIVE_TOKENS + 1}>`)
})

test('an attention split has as many keys', () => {
  expect(shaderConst(softmax, 'SPLIT_KEYS')).toBe(SPLIT_KEYS)
})

test('packed records are as long as their structs', () => {
  expect(structWords(stepRequest, 'StepRequest')).toBe(REQUEST_WORDS)
  expect(structWords(stepRequest, 'StepResult')).toBe(RESULT_WORDS)
  expect(structWords(requestTable, 'TableRow')).toBe(TABLE_ROW_WORDS)
})

test('a request has as many biases, and an adjustment word tells them apart', () => {
  expect(shaderConst(adjustmentWord, 'MAX_BIASES')).toBe(MAX_LOGIT_BIASES)
  expect(MAX_BIASES).toBe(MAX_LOGIT_BIASES)
  expect(shaderConst(adjustmentWord, 'BIAS_MASK')).toBeGreaterThanOrEqual(MAX_LOGIT_BIASES)
})
