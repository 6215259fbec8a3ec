// Probabilities or their logarithms, from the partial sums of row_partials. T is the type they are written in.
const uint row = threadgroup_position_in_grid.y, vocab = logits_shape[1], parts = sums_shape[1];
const Mass row_mass = folded(sums + size_t(row) * parts * 2, parts, thread_index_in_simdgroup);
const float threshold = FILTERED ? thresholds[row] : -INFINITY;
const uint token = thread_position_in_grid.x;
if (token < vocab) {
  const float score = score_of<BIASED>(logits + size_t(row) * vocab, bias, scale[0], threshold, token);
  const float value = score - row_mass.top - log(row_mass.total);  // in this order: large scores have no digits to lose
  written[size_t(row) * vocab + token] = T(LOGARITHMS ? value : exp(value));
}
