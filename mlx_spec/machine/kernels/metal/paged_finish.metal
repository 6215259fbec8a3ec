// Folds the splits of each row and head, in their order, a simdgroup each: those that the row has, and no others.
const uint lane = thread_index_in_simdgroup;
const uint simdgroups = threads_per_threadgroup.x / 32;
const uint heads = sums_shape[1], splits = sums_shape[2];
const uint member = threadgroup_position_in_grid.x * simdgroups + simdgroup_index_in_threadgroup;
if (member >= uint(sums_shape[0]) * heads) return;

const int position = positions[member / heads];
const uint own = uint(position / SPLIT - max(0, position - int(window[0]) + 1) / SPLIT + 1);
const float sink = SINKS ? float(sinks[member % heads]) : -INFINITY;
const size_t first = size_t(member) * splits;
float best = sink;
for (uint split = 0; split < own; split++) best = max(best, sums[(first + split) * 2]);

constexpr uint PER_LANE = (VALUE_WIDTH + 31) / 32;
float sum = SINKS ? exp(sink - best) : 0.0f, mixed[PER_LANE];
for (uint i = 0; i < PER_LANE; i++) mixed[i] = 0.0f;
for (uint split = 0; split < own; split++) {
  const float weight = exp(sums[(first + split) * 2] - best);
  sum = fma(weight, sums[(first + split) * 2 + 1], sum);
  for (uint i = 0; i < PER_LANE; i++) {
    const uint column = lane * PER_LANE + i;
    if (column < VALUE_WIDTH) mixed[i] = fma(weight, mixtures[(first + split) * VALUE_WIDTH + column], mixed[i]);
  }
}
for (uint i = 0; i < PER_LANE; i++) {
  const uint column = lane * PER_LANE + i;
  if (column < VALUE_WIDTH) mixed_values[size_t(member) * VALUE_WIDTH + column] = T(mixed[i] / sum);
}
