// The acceptance test of all drafts, and of one segment of the row that decides the token with the largest
// log(residual) + noise. Every threadgroup decides for itself, which costs less than a launch in between.
const uint segment = threadgroup_position_in_grid.x, segments = threadgroups_per_grid.x;
const uint self = thread_position_in_threadgroup.x, threads = threads_per_threadgroup.x;
const Place at = {thread_index_in_simdgroup, simdgroup_index_in_threadgroup, threads / 32};
threadgroup float scratch[32];
threadgroup uint indices[32];
threadgroup float row_normalisers[MOST_ROWS];
threadgroup float logs[MOST_ROWS];  // of the drafts, under p
threadgroup float q_drafted[MOST_ROWS];

const uint rows = logits_shape[0], gamma = rows - 1, vocab = logits_shape[1], parts = sums_shape[1];
for (uint i = at.simdgroup; i < rows; i += at.simdgroups) {
  const float normaliser = folded_normaliser(sums + size_t(i) * parts * 2, parts, at.lane);
  if (at.lane == 0) {
    row_normalisers[i] = normaliser;
    if (i < gamma) {
      const uint drafted = uint(draft_ids[i]);
      const float threshold = FILTERED ? thresholds[i] : -INFINITY;
      logs[i] = score_of<BIASED>(logits + size_t(i) * vocab, bias, scale[0], threshold, drafted) - normaliser;
      q_drafted[i] = drafted_mass<POINT, BIASED>(draft_logits + (POINT ? 0 : size_t(i) * vocab), bias, draft_scale[0],
                                                 DRAFT_FILTERED ? draft_thresholds[i] : -INFINITY,
                                                 POINT ? 0.0f : draft_normalisers[i], drafted, drafted);
    }
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

uint count = 0;
float weight = 1.0f;
if (BLOCK) {
  const uint splits = masses_shape[1];
  float passed_weight = 1.0f;
  for (uint i = 1; i <= gamma; i++) {
    weight = next_weight(weight, exp(logs[i - 1]), q_drafted[i - 1]);
    float left = weight;  // nothing is proposed behind the last draft
    if (i < gamma) {
      left = 0.0f;
      for (uint j = 0; j < splits; j++) left += masses[(i - 1) * splits + j];
    }
    if (uniforms[i - 1] < left / max(left + (1.0f - weight), 1e-30f)) {
      count = i;
      passed_weight = weight;
    }
  }
  weight = passed_weight;
} else {
  // Strictly less: a token that p excludes is never accepted, not even at u = 0.
  while (count < gamma && uniforms[count] * q_drafted[count] < exp(logs[count])) count++;
}

const bool bonus = count == gamma;
const uint proposed = bonus ? 0 : count;
auto p_logits = logits + size_t(count) * vocab;
auto q_logits = draft_logits + (POINT ? 0 : size_t(proposed) * vocab);
const float threshold = FILTERED ? thresholds[count] : -INFINITY;
const float draft_threshold = DRAFT_FILTERED ? draft_thresholds[proposed] : -INFINITY;
const float draft_normaliser = POINT ? 0.0f : draft_normalisers[proposed];
const uint drafted = bonus ? 0xFFFFFFFFu : uint(draft_ids[proposed]);
uint2 key;
key.x = keys[2 * count];
key.y = keys[2 * count + 1];

const uint pairs = (vocab + 1) / 2, share = (pairs + segments - 1) / segments;
const uint begin = min(segment * share, pairs), end = min(begin + share, pairs);
Best residual = {-INFINITY, 0xFFFFFFFFu}, whole = {-INFINITY, 0xFFFFFFFFu};
for (uint i = begin + self; i < end; i += threads) {
  const uint2 words = noise_words(key, i, pairs);
  for (uint half_of = 0; half_of < 2; half_of++) {
    const uint token = half_of == 0 ? i : i + pairs;
    if (token >= vocab) continue;
    const float logprob = score_of<BIASED>(p_logits, bias, scale[0], threshold, token) - row_normalisers[count];
    const float q = bonus ? 0.0f
                          : drafted_mass<POINT, BIASED>(q_logits, bias, draft_scale[0], draft_threshold,
                                                        draft_normaliser, drafted, token);
    const float left = weight * exp(logprob) - q;
    const float drawn = gumbel(half_of == 0 ? words.x : words.y);
    const Best anyway = {logprob + drawn, token}, wanted = {left > 0.0f ? log(left) + drawn : -INFINITY, token};
    whole = better(whole, anyway);
    residual = better(residual, wanted);
  }
}
residual = block_best(residual, scratch, indices, at);
whole = block_best(whole, scratch, indices, at);
if (self == 0) {
  best_values[2 * segment] = residual.value;
  best_values[2 * segment + 1] = whole.value;
  best_ids[2 * segment] = residual.index;
  best_ids[2 * segment + 1] = whole.index;
}
if (segment == 0) {
  for (uint i = self; i < rows; i += threads) normalisers[i] = row_normalisers[i];
  for (uint i = self; i < gamma; i += threads) draft_logprobs[i] = logs[i];
  if (self == 0) accepted[0] = int(count);
}
if (segments == 1 && self == 0) {
  const uint token = next_token(residual, whole, vocab);
  const float logprob = score_of<BIASED>(p_logits, bias, scale[0], threshold, token) - row_normalisers[count];
  write_verdict(token, logprob, count, rows, draft_ids, logs, token_ids, logprobs);
}
