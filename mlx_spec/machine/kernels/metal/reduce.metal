// Reductions over a threadgroup. `scratch` has a place for each of its simdgroups; all threads get the result.

struct Place {
  uint lane;        // within the simdgroup
  uint simdgroup;
  uint simdgroups;
};

template <typename S>
inline float block_max(float value, S scratch, Place at) {
  value = simd_max(value);
  if (at.lane == 0) scratch[at.simdgroup] = value;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  value = simd_max(at.lane < at.simdgroups ? scratch[at.lane] : -INFINITY);
  threadgroup_barrier(mem_flags::mem_threadgroup);  // nobody may write the next value before all have read this one
  return value;
}

template <typename S>
inline float block_sum(float value, S scratch, Place at) {
  value = simd_sum(value);
  if (at.lane == 0) scratch[at.simdgroup] = value;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  value = simd_sum(at.lane < at.simdgroups ? scratch[at.lane] : 0.0f);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return value;
}

// The larger value, and of equal ones the lower index: what mx.argmax takes.
struct Best {
  float value;
  uint index;
};

inline Best better(Best a, Best b) {
  return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

inline Best simd_best(Best best) {
  Best all;
  all.value = simd_max(best.value);
  all.index = simd_min(best.value == all.value ? best.index : 0xFFFFFFFFu);
  return all;
}

template <typename S, typename I>
inline Best block_best(Best best, S scratch, I indices, Place at) {
  best = simd_best(best);
  if (at.lane == 0) {
    scratch[at.simdgroup] = best.value;
    indices[at.simdgroup] = best.index;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  best.value = at.lane < at.simdgroups ? scratch[at.lane] : -INFINITY;
  best.index = at.lane < at.simdgroups ? indices[at.lane] : 0xFFFFFFFFu;
  best = simd_best(best);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  return best;
}
