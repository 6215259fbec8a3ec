// Logits as the scores of sampling.py: biased, divided by the temperature, -inf where a filter removed them.
// A score that is not a number stays one: it shows in the row's sum, and the decoder reports it.

// Where a search for the largest begins: below every logit, and unlike -inf its difference to itself is a number.
#define LOWEST (-3.402823466e38f)

template <bool BIASED, typename L, typename B>
inline float biased(L logits, B bias, uint token) {
  const float logit = float(logits[token]);
  return BIASED ? logit + bias[token] : logit;
}

template <bool BIASED, typename L, typename B>
inline float score_of(L logits, B bias, float scale, float threshold, uint token) {
  const float score = biased<BIASED>(logits, bias, token) * scale;
  return score < threshold ? -INFINITY : score;
}

// Of a row the largest score, and the sum of exp(score - largest), from those of its splits; by one simdgroup.
struct Mass {
  float top;
  float total;
};

template <typename S>
inline Mass folded(S sums, uint splits, uint lane) {
  Mass all = {LOWEST, 0.0f};
  for (uint i = lane; i < splits; i += 32) all.top = max(all.top, float(sums[2 * i]));
  all.top = simd_max(all.top);
  for (uint i = lane; i < splits; i += 32) all.total += sums[2 * i + 1] * exp(sums[2 * i] - all.top);
  all.total = simd_sum(all.total);
  return all;
}

// log of the sum over a row of exp(score).
template <typename S>
inline float folded_normaliser(S sums, uint splits, uint lane) {
  const Mass all = folded(sums, splits, lane);
  return log(all.total) + all.top;
}
