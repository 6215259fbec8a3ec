// One read of the logits: of each split of each row the largest score and the sum of exp(score - largest), and under
// PICK the token with the largest score, or with NOISY the largest score + noise.
const uint row = threadgroup_position_in_grid.y;
const uint split = threadgroup_position_in_grid.x, splits = threadgroups_per_grid.x;
const uint threads = threads_per_threadgroup.x;
const Place at = {thread_index_in_simdgroup, simdgroup_index_in_threadgroup, threads / 32};
threadgroup float scratch[32];
threadgroup uint indices[32];

const uint vocab = logits_shape[1], pairs = (vocab + 1) / 2;
const uint share = (pairs + splits - 1) / splits;
const uint begin = min(split * share, pairs), end = min(begin + share, pairs);
auto row_logits = logits + size_t(row) * vocab;
const float inverse_temperature = scale[0], threshold = FILTERED ? thresholds[row] : -INFINITY;
uint2 key;
key.x = NOISY ? keys[2 * row] : 0;
key.y = NOISY ? keys[2 * row + 1] : 0;

float top = LOWEST, total = 0.0f;
Best best = {-INFINITY, 0xFFFFFFFFu};
for (uint i = begin + thread_position_in_threadgroup.x; i < end; i += threads) {
  const uint other = i + pairs;
  const float low = score_of<BIASED>(row_logits, bias, inverse_temperature, threshold, i);
  const float high = other < vocab ? score_of<BIASED>(row_logits, bias, inverse_temperature, threshold, other)
                                   : -INFINITY;
  const float larger = max(low, high);
  if (larger > top) {
    total *= exp(top - larger);
    top = larger;
  }
  total += exp(low - top) + exp(high - top);
  if (PICK) {
    Best first = {low, i}, second = {high, other};
    if (NOISY) {
      const uint2 words = noise_words(key, i, pairs);
      first.value = low + gumbel(words.x);
      second.value = high + gumbel(words.y);
    }
    best = better(best, first);
    if (other < vocab) best = better(best, second);
  }
}

const float row_top = block_max(top, scratch, at);
const float row_total = block_sum(total * exp(top - row_top), scratch, at);
if (PICK) best = block_best(best, scratch, indices, at);
if (thread_position_in_threadgroup.x == 0) {
  const uint place = row * splits + split;
  sums[2 * place] = row_top;
  sums[2 * place + 1] = row_total;
  best_values[place] = best.value;
  best_ids[place] = best.index;
}
