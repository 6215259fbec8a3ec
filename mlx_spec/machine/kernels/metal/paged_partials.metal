// Attention of rows over keys and values in blocks [blocks, kv_heads, BLOCK, width], or where BLOCK is 0 in arrays of
// their own [answers, kv_heads, length, width], by the same sums. A simdgroup takes one query head
// of one row over one split of the row's positions, and leaves the largest score, the sum of exponentials and the
// values mixed by them. Splits begin at multiples of SPLIT from position 0 and keys are taken KEYS at a time from
// there, whatever the row, so a row's bits depend on its own keys alone. Simdgroups that stand beside each other share
// a head of keys, and mostly an answer. No memory is shared, so there is no barrier.
const uint lane = thread_index_in_simdgroup;
const uint simdgroups = threads_per_threadgroup.x / 32;
const uint rows = queries_shape[0], heads = queries_shape[1], kv_heads = keys_shape[1];
const uint group = heads / kv_heads, members = rows * group;
const uint tiles = (members + simdgroups - 1) / simdgroups;
const uint kv_head = threadgroup_position_in_grid.y / tiles;
const uint member = threadgroup_position_in_grid.y % tiles * simdgroups + simdgroup_index_in_threadgroup;
if (member >= members) return;
const uint row = member / group, head = kv_head * group + member % group;

const int position = positions[row], text = text_lengths[row];
const int visible = max(0, position - int(window[0]) + 1);
const int split = visible / SPLIT + int(threadgroup_position_in_grid.x);
const int begin = max(visible, split * SPLIT), end = min(position + 1, (split + 1) * SPLIT);
if (begin >= end) return;

constexpr uint PER_LANE = (WIDTH + 31) / 32, VALUES_PER_LANE = (VALUE_WIDTH + 31) / 32;
const float scale = float(factors[0]), cap = float(factors[1]);
float query[PER_LANE], mixed[VALUES_PER_LANE];
for (uint i = 0; i < PER_LANE; i++) {
  const uint column = lane * PER_LANE + i;
  query[i] = column < WIDTH ? float(queries[size_t(row * heads + head) * WIDTH + column]) * scale : 0.0f;
}
for (uint i = 0; i < VALUES_PER_LANE; i++) mixed[i] = 0.0f;
float best = -INFINITY, sum = 0.0f;

for (int at = begin / KEYS * KEYS; at < end; at += KEYS) {
  float scores[KEYS];
  size_t places[KEYS];
  float top = best;
  for (int j = 0; j < KEYS; j++) {
    // In the place of a key that the row does not see stands one that it does, with no weight: nothing else is read.
    const int key = min(max(at + j, begin), end - 1);
    const uint stored = uint(key < text ? key : text + int(paths[row * uint(paths_shape[1]) + uint(key - text)]));
    uint block = uint(answers[row]), in_block = stored, length = uint(keys_shape[2]);
    if (BLOCK > 0) {
      length = BLOCK;
      block = uint(block_ids[block * uint(block_ids_shape[1]) + stored / length]);
      in_block = stored % length;
    }
    places[j] = (size_t(block) * kv_heads + kv_head) * length + in_block;
    float part = 0.0f;
    for (uint i = 0; i < PER_LANE; i++) {
      const uint column = lane * PER_LANE + i;
      if (column < WIDTH) part = fma(query[i], float(keys[places[j] * WIDTH + column]), part);
    }
    float score = simd_sum(part);
    if (CAPPED) score = cap * tanh(score / cap);
    scores[j] = at + j == key ? score : -INFINITY;
    top = max(top, scores[j]);
  }
  const float kept = exp(best - top);
  best = top;
  sum *= kept;
  for (uint i = 0; i < VALUES_PER_LANE; i++) mixed[i] *= kept;
  for (int j = 0; j < KEYS; j++) {
    const float weight = exp(scores[j] - top);
    sum += weight;
    for (uint i = 0; i < VALUES_PER_LANE; i++) {
      const uint column = lane * VALUES_PER_LANE + i;
      if (column < VALUE_WIDTH) mixed[i] = fma(weight, float(values[places[j] * VALUE_WIDTH + column]), mixed[i]);
    }
  }
}

const size_t place = size_t(row * heads + head) * threadgroups_per_grid.x + threadgroup_position_in_grid.x;
if (lane == 0) {
  sums[place * 2] = best;
  sums[place * 2 + 1] = sum;
}
for (uint i = 0; i < VALUES_PER_LANE; i++) {
  const uint column = lane * VALUES_PER_LANE + i;
  if (column < VALUE_WIDTH) mixtures[place * VALUE_WIDTH + column] = mixed[i];
}
