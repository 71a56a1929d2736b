// A running request's state on the device, which the next step reads without waiting for the host. 84 bytes.
const NO_SLOT: u32 = 0xFFFFFFFFu;
const NO_TOKEN: u32 = 0xFFFFFFFFu;
const BLOCK_SIZE: u32 = 16u;

struct TableRow {
  generation: u32,
  // tokens whose KV is valid
  computed: u32,
  // last committed token, the input of the next base row
  lastToken: u32,
  // rows and slots past this position are skipped
  lastPosition: u32,
  // drafts proposed in the previous step
  drafts: array<u32, 4>,
  // 0: greedy
  temperature: f32,
  // 1: off
  topP: f32,
  // 0: off
  topK: u32,
  // index among the request's parallel samples, part of the noise key
  sampleIndex: u32,
  seedLow: u32,
  seedHigh: u32,
  firstOutputPosition: u32,
  // 1: bias or penalties apply (adjustLogits.wgsl)
  adjusts: u32,
  // min-p cuts tokens whose logit is more than this below the largest; negative: off
  minPMargin: f32,
  repetition: f32,
  inverseRepetition: f32,
  presence: f32,
  frequency: f32,
}
