// A running request's permanent row on the device: what the next step needs of it without asking the host. 84 bytes.
const NO_SLOT: u32 = 0xFFFFFFFFu;
const NO_TOKEN: u32 = 0xFFFFFFFFu;
const BLOCK_SIZE: u32 = 16u;

struct TableRow {
  generation: u32,
  // tokens whose KV is valid
  computed: u32,
  // the last committed token: the id of the next base row
  lastToken: u32,
  // rows and slots past this position are skipped
  lastPosition: u32,
  // proposed at the end of the previous step
  drafts: array<u32, 4>,
  // 0 is greedy
  temperature: f32,
  // 1 is off
  topP: f32,
  // 0 is off
  topK: u32,
  // index among the request's parallel samples, part of the noise key
  sampleIndex: u32,
  seedLow: u32,
  seedHigh: u32,
  firstOutputPosition: u32,
  // 1: its logits are adjusted (adjustLogits.wgsl)
  adjusts: u32,
  // tokens whose logit is so far below the largest are cut by min-p; negative is off
  minPMargin: f32,
  repetition: f32,
  inverseRepetition: f32,
  presence: f32,
  frequency: f32,
}
