// For `block`: of each split of each row but the first and the last, the sum of max(0, w p - q).
const uint row = threadgroup_position_in_grid.y + 1;
const uint split = threadgroup_position_in_grid.x, splits = threadgroups_per_grid.x;
const uint threads = threads_per_threadgroup.x;
const Place at = {thread_index_in_simdgroup, simdgroup_index_in_threadgroup, threads / 32};
threadgroup float scratch[32];
threadgroup float row_normalisers[MOST_ROWS];
threadgroup float p_drafted[MOST_ROWS];
threadgroup float q_drafted[MOST_ROWS];

const uint vocab = logits_shape[1], parts = sums_shape[1];
for (uint i = at.simdgroup; i <= row; i += at.simdgroups) {
  const float normaliser = folded_normaliser(sums + size_t(i) * parts * 2, parts, at.lane);
  if (at.lane == 0) {
    const uint drafted = uint(draft_ids[i]);
    const float threshold = FILTERED ? thresholds[i] : -INFINITY;
    row_normalisers[i] = normaliser;
    p_drafted[i] = exp(score_of<BIASED>(logits + size_t(i) * vocab, bias, scale[0], threshold, drafted) - normaliser);
    q_drafted[i] = drafted_mass<POINT, BIASED>(draft_logits + (POINT ? 0 : size_t(i) * vocab), bias, draft_scale[0],
                                               DRAFT_FILTERED ? draft_thresholds[i] : -INFINITY,
                                               POINT ? 0.0f : draft_normalisers[i], drafted, drafted);
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

float weight = 1.0f;
for (uint i = 0; i < row; i++) weight = next_weight(weight, p_drafted[i], q_drafted[i]);
const float threshold = FILTERED ? thresholds[row] : -INFINITY;
const float draft_threshold = DRAFT_FILTERED ? draft_thresholds[row] : -INFINITY;
const float draft_normaliser = POINT ? 0.0f : draft_normalisers[row];
const uint share = (vocab + splits - 1) / splits;
const uint begin = min(split * share, vocab), end = min(begin + share, vocab);
float mass = 0.0f;
for (uint i = begin + thread_position_in_threadgroup.x; i < end; i += threads) {
  const float p = exp(score_of<BIASED>(logits + size_t(row) * vocab, bias, scale[0], threshold, i) -
                      row_normalisers[row]);
  const float q = drafted_mass<POINT, BIASED>(draft_logits + (POINT ? 0 : size_t(row) * vocab), bias, draft_scale[0],
                                              draft_threshold, draft_normaliser, uint(draft_ids[row]), i);
  mass += max(0.0f, weight * p - q);
}
mass = block_sum(mass, scratch, at);
if (thread_position_in_threadgroup.x == 0) masses[(row - 1) * splits + split] = mass;
