// What `token` and `block` know of a drafted chain before they choose: each row's normaliser, each draft's p and q.

// Algorithm 2 of Sun et al. 2024: w_i = min(1, w_(i-1) p / q). Divides only where the quotient is under 1.
inline float next_weight(float weight, float p, float q) {
  const float wanted = weight * p;
  return wanted < q ? wanted / q : (wanted > 0.0f ? 1.0f : 0.0f);
}

// A draft's own probability, or of a draft without a distribution 1 for what it proposed and 0 for the rest.
template <bool POINT, bool BIASED, typename L, typename B>
inline float drafted_mass(L logits, B bias, float scale, float threshold, float normaliser, uint drafted, uint token) {
  if (POINT) return token == drafted ? 1.0f : 0.0f;
  return exp(score_of<BIASED>(logits, bias, scale, threshold, token) - normaliser);
}

// The token behind the accepted drafts: the best of the residual, or where rounding emptied it the best of p.
inline uint next_token(Best residual, Best whole, uint vocab) {
  return min(residual.value > -INFINITY ? residual.index : whole.index, vocab - 1);
}

// The accepted drafts and the token behind them, each with its log-probability under p.
template <typename D, typename P, typename I, typename F>
inline void write_verdict(uint token, float logprob, uint count, uint rows, D draft_ids, P draft_logprobs, I token_ids,
                          F logprobs) {
  for (uint i = 0; i < rows; i++) {
    token_ids[i] = i < count ? int(draft_ids[i]) : (i == count ? int(token) : -1);
    logprobs[i] = i < count ? draft_logprobs[i] : (i == count ? logprob : 0.0f);
  }
}
