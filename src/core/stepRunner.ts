/** The seam between the engine and whatever runs a step: the GPU, ONNX Runtime, or a mock in tests. */

import type { StepOutput, StepPlan } from './stepPlan.ts'

export interface StepRunner {
  /**
   * Runs one step. May be called again before the last promise settles; promises settle in order.
   * @throws BUDGET_EXCEEDED, with both numbers and before anything of the step is encoded, when the plan holds more rows than
   * the runner's buffers; DEVICE_LOST. Both reject the promise.
   */
  submit(plan: StepPlan): Promise<StepOutput>
}
