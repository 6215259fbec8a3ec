// Folds the splits of every row into its token, and walks the drafted tree (of which a chain is one): a node stands
// while its token is the one picked behind its parent. One threadgroup; a simdgroup a row.
const uint rows = logits_shape[0], vocab = logits_shape[1], splits = sums_shape[1];
const uint nodes = DRAFTED ? rows - 1 : 0;
const uint lane = thread_index_in_simdgroup;
const uint simdgroups = threads_per_threadgroup.x / 32;
threadgroup uint picked[MOST_ROWS];
threadgroup float logs[MOST_ROWS];
threadgroup float row_normalisers[MOST_ROWS];

for (uint row = simdgroup_index_in_threadgroup; row < rows; row += simdgroups) {
  const float normaliser = folded_normaliser(sums + size_t(row) * splits * 2, splits, lane);
  Best best = {-INFINITY, 0xFFFFFFFFu};
  for (uint i = lane; i < splits; i += 32) {
    const Best part = {best_values[row * splits + i], best_ids[row * splits + i]};
    best = better(best, part);
  }
  best = simd_best(best);
  // A row of nothing but -inf or of no numbers picks nothing: any index will do, its probability is no number.
  const uint token = min(best.index, vocab - 1);
  if (lane == 0) {
    auto row_logits = logits + size_t(row) * vocab;
    picked[row] = token;
    const float threshold = FILTERED ? thresholds[row] : -INFINITY;
    logs[row] = score_of<BIASED>(row_logits, bias, scale[0], threshold, token) - normaliser;
    picked_ids[row] = int(token);
    picked_logprobs[row] = logs[row];
    row_normalisers[row] = normaliser;
    normalisers[row] = normaliser;
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

// Node i is scored by row i + 1 and judged by its parent's row. Parents come before children, so one look suffices.
if (thread_position_in_threadgroup.x == 0) {
  uint row = 0, emitted = 0;
  token_ids[0] = int(picked[0]);
  logprobs[0] = logs[0];
  path[0] = 0;
  for (uint node = 0; node < nodes; node++) {
    if (uint(parents[node]) == row && uint(draft_ids[node]) == picked[row]) {
      row = node + 1;
      emitted += 1;
      token_ids[emitted] = int(picked[row]);
      logprobs[emitted] = logs[row];
      path[emitted] = int(row);
    }
  }
  accepted[0] = int(emitted);
  for (uint i = emitted + 1; i < rows; i++) {
    token_ids[i] = -1;
    logprobs[i] = 0.0f;
    path[i] = -1;
  }
}
for (uint node = thread_position_in_threadgroup.x; node < nodes; node += threads_per_threadgroup.x) {
  const uint row = uint(parents[node]);
  const float threshold = FILTERED ? thresholds[row] : -INFINITY;
  const float score = score_of<BIASED>(logits + size_t(row) * vocab, bias, scale[0], threshold, uint(draft_ids[node]));
  draft_logprobs[node] = score - row_normalisers[row];
}
