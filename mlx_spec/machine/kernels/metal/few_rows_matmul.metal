// x [rows, inputs] times the transpose of affine-quantised weights [outputs, inputs]: every word of the weights is
// read once, by one lane, and serves all rows. A simdgroup computes OUTPUTS columns; its lanes share the inputs.
const uint lane = thread_index_in_simdgroup;
const uint simdgroups = threads_per_threadgroup.x / 32;
const uint outputs = weights_shape[0], words = weights_shape[1], groups = scales_shape[1];
const uint first = (threadgroup_position_in_grid.x * simdgroups + simdgroup_index_in_threadgroup) * OUTPUTS;
const uint pack = 32 / BITS, mask = (1u << BITS) - 1u;
const uint inputs = words * pack;

float sums[OUTPUTS][ROWS];
for (uint i = 0; i < OUTPUTS; i++)
  for (uint row = 0; row < ROWS; row++) sums[i][row] = 0.0f;

for (uint word = lane; word < words; word += 32) {
  const uint group = word * pack / GROUP;
  float values[OUTPUTS][32 / BITS];
  for (uint i = 0; i < OUTPUTS; i++) {
    const uint column = min(first + i, outputs - 1);  // a simdgroup over the edge repeats the last column
    const uint packed = weights[size_t(column) * words + word];
    const float scale = float(scales[size_t(column) * groups + group]);
    const float offset = float(biases[size_t(column) * groups + group]);
    for (uint j = 0; j < pack; j++) values[i][j] = scale * float((packed >> (BITS * j)) & mask) + offset;
  }
  for (uint row = 0; row < ROWS; row++) {
    for (uint j = 0; j < pack; j++) {
      const float x = float(activations[size_t(row) * inputs + word * pack + j]);
      for (uint i = 0; i < OUTPUTS; i++) sums[i][row] += x * values[i][j];
    }
  }
}

for (uint i = 0; i < OUTPUTS; i++) {
  for (uint row = 0; row < ROWS; row++) {
    const float sum = simd_sum(sums[i][row]);
    if (lane == 0 && first + i < outputs) products[size_t(row) * outputs + first + i] = T(sum);
  }
}
