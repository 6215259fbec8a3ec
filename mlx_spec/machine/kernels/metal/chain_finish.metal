// Folds the segments of chain_decide, where there are several. One simdgroup.
const uint lane = thread_index_in_simdgroup;
const uint segments = best_values_shape[0], vocab = logits_shape[1], count = uint(accepted[0]);
Best residual = {-INFINITY, 0xFFFFFFFFu}, whole = {-INFINITY, 0xFFFFFFFFu};
for (uint i = lane; i < segments; i += 32) {
  const Best a = {best_values[2 * i], best_ids[2 * i]}, b = {best_values[2 * i + 1], best_ids[2 * i + 1]};
  residual = better(residual, a);
  whole = better(whole, b);
}
residual = simd_best(residual);
whole = simd_best(whole);
if (thread_position_in_threadgroup.x == 0) {
  const uint token = next_token(residual, whole, vocab);
  const float threshold = FILTERED ? thresholds[count] : -INFINITY;
  const float score = score_of<BIASED>(logits + size_t(count) * vocab, bias, scale[0], threshold, token);
  write_verdict(token, score - normalisers[count], count, logits_shape[0], draft_ids, draft_logprobs, token_ids,
                logprobs);
}
