// The least score that top-k, top-p and min-p keep, each of what the one before left; a threadgroup a row.
//
// A filter keeps the tokens from some logit on: the largest one at which their number reaches k, or their mass the
// share p of what was left. It is found sixteen ways at a time, by its bits from the highest on: ROUNDS reads.
const uint row = threadgroup_position_in_grid.x, threads = threads_per_threadgroup.x;
const uint self = thread_position_in_threadgroup.x;
const Place at = {thread_index_in_simdgroup, simdgroup_index_in_threadgroup, threads / 32};
threadgroup float scratch[32];
threadgroup float counts[16 * 32];
threadgroup float totals[16];

const uint vocab = logits_shape[1];
auto row_logits = logits + size_t(row) * vocab;
const float inverse_temperature = scale[0];
float top = LOWEST;
for (uint i = self; i < vocab; i += threads) top = max(top, biased<BIASED>(row_logits, bias, i));
top = block_max(top, scratch, at);

uint least = 0;  // key of the smallest logit that is left
for (uint filter = 0; filter < 2; filter++) {
  const bool by_count = filter == 0;
  if (by_count ? (top_k[0] == 0 || top_k[0] >= vocab) : top_p[0] >= 1.0f) continue;
  const uint floor_key = least;
  float wanted = float(top_k[0]);
  uint found = 0;
  for (uint round = 0; round < ROUNDS; round++) {
    const uint shift = 28 - 4 * round;
    float sums[16];
    for (uint j = 0; j < 16; j++) sums[j] = 0.0f;
    for (uint i = self; i < vocab; i += threads) {
      const float logit = biased<BIASED>(row_logits, bias, i);
      const uint key = key_of(logit);
      if (key < floor_key || key < found) continue;
      const float weight = by_count ? 1.0f : exp(logit * inverse_temperature - top * inverse_temperature);
      const uint digits = min((key - found) >> shift, 15u);
      for (uint j = 0; j < 16; j++) sums[j] += j <= digits ? weight : 0.0f;
    }
    for (uint j = 0; j < 16; j++) {
      const float sum = simd_sum(sums[j]);
      if (at.lane == 0) counts[j * 32 + at.simdgroup] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (self < 16) {
      float total = 0.0f;
      for (uint i = 0; i < at.simdgroups; i++) total += counts[self * 32 + i];
      totals[self] = total;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (round == 0 && !by_count) wanted = top_p[0] * totals[0];
    uint digit = 0;
    for (uint j = 1; j < 16; j++) digit = totals[j] >= wanted ? j : digit;
    found += digit << shift;
  }
  least = max(found, floor_key);
}

if (self == 0) {
  const float kept = least == 0 ? -INFINITY : value_of(least) * inverse_temperature;
  thresholds[row] = max(kept, top * inverse_temperature + log_min_p[0]);
}
