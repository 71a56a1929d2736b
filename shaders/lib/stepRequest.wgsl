// One request of a step, as the host packs it (src/runner/packPlan.ts). 52 bytes.
const SAMPLES: u32 = 1u;      // its last k + 1 rows are sampled
const PROMPT: u32 = 2u;       // token ids come from the host; otherwise from the request table
const PLAN_DRAFTS: u32 = 4u;  // drafts come from the host; otherwise from the request table
const REJECT_ALL: u32 = 8u;   // for tests: every draft is rejected
const ACCEPT_ALL: u32 = 16u;  // for tests: every draft is accepted, which changes the output

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
  // position of the first row; for a decoding request the table's `computed` is used instead
  firstPosition: u32,
  // index of the first sampled row
  firstSampled: u32,
  // number of the step
  step: u32,
  // first row in the drafter's KV pass
  kvPassRow: u32,
  // catch-up rows of earlier steps, which come first there, and the position of the first of them
  catchUp: u32,
  catchUpFrom: u32,
}

// The result of a step for one request, read back by the host. 72 bytes.
struct StepResult {
  generation: u32,
  accepted: u32,
  // tokens committed: accepted + 1, or 0 for a prompt chunk that does not sample
  committed: u32,
  // 1: a sampled row has no valid token
  numericError: u32,
  tokens: array<u32, 5>,
  verified: array<u32, 4>,
  proposed: array<u32, 4>,
  // number of the step, by which the host detects results that the device did not write
  step: u32,
}
