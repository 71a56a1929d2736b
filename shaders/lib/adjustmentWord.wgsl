// `adjustments`, [S][VOCAB_SIZE + MAX_BIASES]: for each running request, one word per token of the vocabulary and then the biases
// as f32. The host fills a request's words at admission; verifyStep increments the counts.
//
//     bit 31: the token is in the prompt;  bits 22 to 30: 1 + the index of its bias, 0 for none;  bits 0 to 21: times in the output
const MAX_BIASES: u32 = 300u;
const IN_PROMPT: u32 = 0x80000000u;
const BIAS_SHIFT: u32 = 22u;
const BIAS_MASK: u32 = 511u;
const OUTPUT_COUNT: u32 = 0x3FFFFFu;
