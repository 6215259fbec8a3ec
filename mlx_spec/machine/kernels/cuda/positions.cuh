// Where a thread stands, by the names that Metal has for it: begins the body.
const dim3 threads_per_threadgroup = blockDim, threadgroups_per_grid = gridDim;
const uint3 threadgroup_position_in_grid = blockIdx;
const uint thread_index_in_simdgroup = threadIdx.x % 32, simdgroup_index_in_threadgroup = threadIdx.x / 32;
