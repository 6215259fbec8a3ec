// What siblings that were rejected leave of p and of q, for one token.
struct Left {
  float p;
  float q;
};

template <bool POINT, typename A, typename I>
inline Left after_rejections(Left of, uint token, uint rejected, A left_totals, A proposed_totals, I tokens) {
  for (uint i = 0; i < rejected; i++) {
    const float proposed = POINT ? (token == tokens[i] ? 1.0f : 0.0f) : of.q;
    const float left = max(0.0f, of.p - proposed);
    of.p = left_totals[i] > 0.0f ? left / left_totals[i] : of.p;
    const float without = token == tokens[i] ? 0.0f : of.q;
    if (!POINT) of.q = proposed_totals[i] > 0.0f ? without / proposed_totals[i] : of.q;
  }
  return of;
}
