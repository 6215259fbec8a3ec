// Gathers the rows that stay from up to 28 arrays [batch, heads, length, width] of one shape, in one launch. Metal
// takes no more than 31 buffers; places that are not needed hold an array again.
const device T* sources[28] = {a0,  a1,  a2,  a3,  a4,  a5,  a6,  a7,  a8,  a9,  a10, a11, a12, a13,
                               a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25, a26, a27};
const uint heads = a0_shape[0] * a0_shape[1], length = a0_shape[2], width = a0_shape[3];
const uint kept = moved_rows[0], array = threadgroup_position_in_grid.y;
const uint at = thread_position_in_grid.x;
if (at < heads * kept * width) {
  const uint column = at % width, row = at / width % kept, head = at / width / kept;
  const size_t from = (size_t(head) * length + uint(moved_rows[1 + row])) * width + column;
  moved[size_t(array) * heads * kept * width + at] = sources[array][from];
}
