// `token` over a tree: each node's children in turn, against what the ones before them left of p; then the token with
// the largest log(residual) + noise. One threadgroup, all of whose threads walk together.
//
// What is left of p after some rejections is not kept but computed again, from p, q and the sums that normalised it.
const uint self = thread_position_in_threadgroup.x, threads = threads_per_threadgroup.x;
const Place at = {thread_index_in_simdgroup, simdgroup_index_in_threadgroup, threads / 32};
threadgroup float scratch[32];
threadgroup uint indices[32];
threadgroup float row_normalisers[MOST_ROWS];

const uint rows = logits_shape[0], vocab = logits_shape[1], parts = sums_shape[1];
const uint branching = children_shape[1], depths = uniforms_shape[0];
for (uint i = at.simdgroup; i < rows; i += at.simdgroups) {
  const float normaliser = folded_normaliser(sums + size_t(i) * parts * 2, parts, at.lane);
  if (at.lane == 0) row_normalisers[i] = normaliser;
}
threadgroup_barrier(mem_flags::mem_threadgroup);

uint node = 0, count = 0, rejected = 0;
float left_totals[MOST_CHILDREN], proposed_totals[MOST_CHILDREN];
uint tokens[MOST_CHILDREN];
if (self == 0) path[0] = 0;
for (uint depth = 0; depth < depths; depth++) {
  // Siblings were drawn from one distribution, which stands in the row of the first of them.
  const uint first = uint(children[node * branching]), drafted_row = first == 0 ? 0 : first - 1;
  auto p_logits = logits + size_t(node) * vocab;
  auto q_logits = draft_logits + (POINT ? 0 : size_t(drafted_row) * vocab);
  const float threshold = FILTERED ? thresholds[node] : -INFINITY;
  const float draft_threshold = DRAFT_FILTERED ? draft_thresholds[drafted_row] : -INFINITY;
  const float draft_normaliser = POINT ? 0.0f : draft_normalisers[drafted_row];
  uint found = 0;
  rejected = 0;
  for (uint place = 0; place < branching && found == 0; place++) {
    const uint child = uint(children[node * branching + place]);
    if (child == 0) break;
    const uint token = uint(draft_ids[child - 1]);
    Left here;
    here.p = exp(score_of<BIASED>(p_logits, bias, scale[0], threshold, token) - row_normalisers[node]);
    here.q = drafted_mass<POINT, BIASED>(q_logits, bias, draft_scale[0], draft_threshold, draft_normaliser, token, token);
    here = after_rejections<POINT>(here, token, rejected, left_totals, proposed_totals, tokens);
    // Where fewer tokens have any q than there are siblings, the last of them were not drawn.
    if (!(here.q > 0.0f)) continue;
    // Strictly less: a token of which nothing is left is never accepted, not even at u = 0.
    if (uniforms[depth * branching + place] * here.q < here.p) {
      found = child;
      continue;
    }
    float left_total = 0.0f, proposed_total = 0.0f;
    for (uint i = self; i < vocab; i += threads) {
      Left each;
      each.p = exp(score_of<BIASED>(p_logits, bias, scale[0], threshold, i) - row_normalisers[node]);
      each.q = drafted_mass<POINT, BIASED>(q_logits, bias, draft_scale[0], draft_threshold, draft_normaliser, token, i);
      each = after_rejections<POINT>(each, i, rejected, left_totals, proposed_totals, tokens);
      left_total += max(0.0f, each.p - each.q);
      proposed_total += i == token ? 0.0f : each.q;
    }
    left_totals[rejected] = block_sum(left_total, scratch, at);
    proposed_totals[rejected] = block_sum(proposed_total, scratch, at);
    tokens[rejected] = token;
    rejected += 1;
  }
  if (found == 0) break;
  if (self == 0) {
    token_ids[count] = draft_ids[found - 1];
    logprobs[count] = score_of<BIASED>(p_logits, bias, scale[0], threshold, uint(draft_ids[found - 1])) -
                      row_normalisers[node];
    path[count + 1] = int(found);
  }
  node = found;
  count += 1;
  rejected = 0;
}

const uint first = uint(children[node * branching]), drafted_row = first == 0 ? 0 : first - 1;
auto p_logits = logits + size_t(node) * vocab;
auto q_logits = draft_logits + (POINT ? 0 : size_t(drafted_row) * vocab);
const float threshold = FILTERED ? thresholds[node] : -INFINITY;
const float draft_threshold = DRAFT_FILTERED ? draft_thresholds[drafted_row] : -INFINITY;
const float draft_normaliser = POINT ? 0.0f : draft_normalisers[drafted_row];
uint2 key;
key.x = keys[2 * count];
key.y = keys[2 * count + 1];
const uint pairs = (vocab + 1) / 2;
Best best = {-INFINITY, 0xFFFFFFFFu};
for (uint i = self; i < pairs; i += threads) {
  const uint2 words = noise_words(key, i, pairs);
  for (uint half_of = 0; half_of < 2; half_of++) {
    const uint token = half_of == 0 ? i : i + pairs;
    if (token >= vocab) continue;
    Left each;
    each.p = exp(score_of<BIASED>(p_logits, bias, scale[0], threshold, token) - row_normalisers[node]);
    each.q = drafted_mass<POINT, BIASED>(q_logits, bias, draft_scale[0], draft_threshold, draft_normaliser, token, token);
    each = after_rejections<POINT>(each, token, rejected, left_totals, proposed_totals, tokens);
    const Best drawn = {each.p > 0.0f ? log(each.p) + gumbel(half_of == 0 ? words.x : words.y) : -INFINITY, token};
    best = better(best, drawn);
  }
}
best = block_best(best, scratch, indices, at);
if (self == 0) {
  const uint token = min(best.index, vocab - 1);
  accepted[0] = int(count);
  token_ids[count] = int(token);
  logprobs[count] = score_of<BIASED>(p_logits, bias, scale[0], threshold, token) - row_normalisers[node];
  for (uint i = count + 1; i <= depths; i++) {
    token_ids[i] = -1;
    logprobs[i] = 0.0f;
    path[i] = -1;
  }
}
for (uint i = self; i < rows * branching; i += threads) {
  const uint parent = i / branching, child = uint(children[i]);
  if (child == 0) continue;
  const float score = score_of<BIASED>(logits + size_t(parent) * vocab, bias, scale[0],
                                       FILTERED ? thresholds[parent] : -INFINITY, uint(draft_ids[child - 1]));
  draft_logprobs[child - 1] = score - row_normalisers[parent];
}
