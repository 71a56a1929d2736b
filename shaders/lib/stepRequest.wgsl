// One request of a step, as the host packs it (src/runner/packPlan.ts). 52 bytes.
const SAMPLES: u32 = 1u;      // its last row, or its last k + 1 rows, are sampled
const PROMPT: u32 = 2u;       // its ids come with the plan; otherwise from the request table
const PLAN_DRAFTS: u32 = 4u;  // its drafts come with the plan; otherwise from the request table
const REJECT_ALL: u32 = 8u;   // no draft counts, for tests
const ACCEPT_ALL: u32 = 16u;  // every draft counts, for tests: the answer is another one

struct StepRequest {
  tableRow: u32,
  generation: u32,
  firstRow: u32,
  // rows in this step
  n: u32,
  // drafts to verify
  k: u32,
  // drafts to propose
  m: u32,
  flags: u32,
  // position of its first row; a decoding request's is the table's computed count
  firstPosition: u32,
  // index of its first sampled row
  firstSampled: u32,
  // number of the step
  step: u32,
  // its first row of the drafter's KV pass
  kvPassRow: u32,
  // rows of earlier steps that it begins with there, and the position of the first
  catchUp: u32,
  catchUpFrom: u32,
}

// What a step brought to one request, read back by the host. 72 bytes.
struct StepResult {
  generation: u32,
  accepted: u32,
  // tokens committed: accepted + 1, or 0 of a chunk in the middle
  committed: u32,
  // 1: a sampled row held a logit that is not finite
  numericError: u32,
  tokens: array<u32, 5>,
  verified: array<u32, 4>,
  proposed: array<u32, 4>,
  // of the request: an answer that the device did not write is known by it
  step: u32,
}
