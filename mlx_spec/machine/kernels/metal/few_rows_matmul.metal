// x [rows, inputs] times the transpose of weights [outputs, inputs], or of [experts, outputs, inputs]: a simdgroup
// computes OUTPUTS columns for ROWS rows. Its lanes share the inputs, a unit of eight at a time; each unit is read once,
// by one lane, and serves all rows.
//
// A row's bits are its own. Lane l adds the units l, l + 32, l + 64, … one by one, in each unit the inputs 0 to 7, and
// every step is one `fma`; then simd_sum folds the lanes. What says so are `inputs` and constants: ROWS only says how
// many such sums there are side by side, no sum looks at another, and no compiler may contract or reorder what is left.
// Loops are unrolled by demand: sums that a variable looks up would stand in memory.
const uint lane = thread_index_in_simdgroup;
const uint outputs = weights_shape[SHARE > 0 ? 1 : 0], stored = weights_shape[SHARE > 0 ? 2 : 1];
const uint inputs = FORMAT == DENSE ? stored : stored * 32 / BITS;
const uint simdgroup = threadgroup_position_in_grid.x * (threads_per_threadgroup.x / 32) + simdgroup_index_in_threadgroup;
const uint first = simdgroup * OUTPUTS, tile = threadgroup_position_in_grid.y;
const size_t above = Tile<SHARE, ROWS>::expert(experts, tile) * outputs;  // rows of weights of the experts before
const auto x = activations + size_t(Tile<SHARE, ROWS>::first_row(tile)) * inputs;

float sums[OUTPUTS][ROWS];
#pragma unroll
for (uint i = 0; i < OUTPUTS; i++)
  #pragma unroll
  for (uint row = 0; row < ROWS; row++) sums[i][row] = 0.0f;

for (uint unit = lane; unit < inputs / 8; unit += 32) {
  float values[OUTPUTS][8];
  #pragma unroll
  for (uint i = 0; i < OUTPUTS; i++) {
    const uint column = min(first + i, outputs - 1);  // a simdgroup over the edge repeats the last column
    Units<FORMAT, BITS, GROUP>::read(weights, scales, biases, above + column, inputs, unit, values[i]);
  }
  #pragma unroll
  for (uint row = 0; row < ROWS; row++) {
    #pragma unroll
    for (uint j = 0; j < 8; j++) {
      const float input = float(x[size_t(row) * inputs + unit * 8 + j]);
      #pragma unroll
      for (uint i = 0; i < OUTPUTS; i++) sums[i][row] = fma(input, values[i][j], sums[i][row]);
    }
  }
}

#pragma unroll
for (uint i = 0; i < OUTPUTS; i++) {
  #pragma unroll
  for (uint row = 0; row < ROWS; row++) {
    const float sum = simd_sum(sums[i][row]);
    if (lane == 0 && first + i < outputs) products[(size_t(tile) * ROWS + row) * outputs + first + i] = T(sum);
  }
}
