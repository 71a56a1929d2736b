/** The package: what a page imports. */

export type { Generation } from './api/generation.ts'
export { LLM } from './api/llm.ts'
export { CACHED_BLOCK, FREE_BLOCK, SHARED_BLOCK } from './protocol/blockMap.ts'
export { ERROR_CODES, type ErrorCode, type ErrorDetails, WeirError } from './protocol/errors.ts'
export type * from './protocol/options.ts'
export type { Replay, ReplayFailure } from './protocol/replay.ts'
export type {
  FinishReason,
  GenerationChoice,
  GenerationPart,
  GenerationResult,
  PartialResult,
  Prompt,
  RequestDebug,
  RequestStep,
  SamplingFields,
  SpeculationUsage,
  Usage,
} from './protocol/request.ts'
export type {
  AdapterInfo,
  BackendDevice,
  DeviceInfo,
  EngineStats,
  LatencySummary,
  MemoryPlan,
  ModelInfo,
  ThroughputSummary,
} from './protocol/service.ts'
export type { DraftChoice, DraftReason, SpeculationStats } from './protocol/speculation.ts'
export type { BudgetPolicy, StepRecord, StepTimes } from './protocol/stepRecord.ts'
