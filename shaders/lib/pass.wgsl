// How much of its buffers a pass uses; the passes of a step are listed in src/runner/passes.ts.
struct Pass {
  // rows of this pass
  rows: u32,
  // attention items of this pass, for kernels that work on items
  items: u32,
  // draft pass: 0 is the first
  draft: u32,
  // rows whose attention splits are merged from partials
  merges: u32,
}
