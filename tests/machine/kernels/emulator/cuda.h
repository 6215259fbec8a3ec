// What a kernel's text for CUDA uses of CUDA, behind what Metal's uses. Such a text stands in a namespace, as it brings
// Metal's functions itself.
#pragma once

#define __global__ static
#define __device__
#define __forceinline__ inline
#define __grid_constant__
#define threadIdx emu::here().thread_position_in_threadgroup
#define blockIdx emu::here().threadgroup_position_in_grid
#define blockDim emu::here().threads_per_threadgroup
#define gridDim emu::here().threadgroups_per_grid

typedef half __half;
typedef bfloat16_t __nv_bfloat16;
typedef uint3 dim3;

struct Shape {
  const int* numbers;
  explicit Shape(void* buffer) : numbers(static_cast<const int*>(buffer)) {}
  int operator[](uint at) const { return numbers[at]; }
};

namespace emu {
inline uint shuffled_by;  // the same for all lanes that have come to one place
inline void exchange(uint64_t* slots, uint lanes) {
  uint64_t before[kSimd];
  for (uint i = 0; i < lanes; i++) before[i] = slots[i];
  for (uint i = 0; i < lanes; i++) slots[i] = before[i ^ shuffled_by];
}
}  // namespace emu

inline float __shfl_xor_sync(uint, float value, int step, uint line = __builtin_LINE()) {
  emu::shuffled_by = step;
  return emu::unpack<float>(emu::gather(emu::Wait::simd, line, emu::pack(value), emu::exchange));
}
