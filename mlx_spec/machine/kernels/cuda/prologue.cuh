// What the bodies in metal/ use of Metal, in CUDA: stands before their headers, in the text that MLX compiles. For
// kernels without threadgroup memory and barriers; a simdgroup is a warp. Nothing included may follow.
#define inline __device__ __forceinline__
typedef unsigned int uint;

template <typename To, typename From>
inline To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

// The lanes in one order, whatever there are of them beside: pairs 16 apart, then 8, 4, 2, 1. All lanes get the sum.
inline float simd_sum(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}
