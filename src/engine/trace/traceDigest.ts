/** A step's plan as text, and a digest of it. Equal plans have equal text, whoever built them and in whatever order of keys. */

import type { BlockWrite, PlannedRequest, StepPlan, TableWrite } from '../../core/stepPlan.ts'
import { samplingRecord } from './traceSampling.ts'

/** 64 bits as 16 hex digits. */
export function planDigest(plan: StepPlan): string {
  return textDigest(planText(plan))
}

/** Canonical JSON: values in a fixed order, without their names. */
export function planText(plan: StepPlan): string {
  const { step, rows, sampledRows, requests, tableWrites, blockWrites } = plan
  return JSON.stringify([
    step,
    rows,
    sampledRows,
    requests.map(requestValues),
    tableWrites.map(tableValues),
    blockWrites.map(blockValues),
  ])
}

function requestValues(request: PlannedRequest): unknown[] {
  const { requestId, tableRow, generation, n, k, m, samples, firstPosition, ids, drafts, nextToken } = request
  return [requestId, tableRow, generation, n, k, m, samples, firstPosition, ids ?? null, drafts ?? null, nextToken]
}

function tableValues(write: TableWrite): unknown[] {
  const { tableRow, generation, computed, lastPosition, firstOutputPosition, sampling, history } = write
  const position = [tableRow, generation, computed, lastPosition, firstOutputPosition]
  return [...position, samplingRecord(sampling), history ?? null]
}

function blockValues({ tableRow, index, block }: BlockWrite): number[] {
  return [tableRow, index, block]
}

/** Two lanes of MurmurHash3 (Appleby, public domain), one word per character, with different seeds. */
function textDigest(text: string): string {
  return [0x2f1b9d57, 0x7a646f4e].map((seed) => hex(lane(text, seed))).join('')
}

function lane(text: string, seed: number): number {
  let hash = seed
  for (let i = 0; i < text.length; i++) {
    const scaled = Math.imul(text.charCodeAt(i), 0xcc9e2d51)
    hash ^= Math.imul((scaled << 15) | (scaled >>> 17), 0x1b873593)
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0
  }
  hash ^= text.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}
