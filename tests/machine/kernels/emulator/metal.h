// What the kernels use of Metal, on one CPU thread: included before the text that MLX generated.
//
// Every thread of a threadgroup is a fiber. It runs until it comes to a barrier or a simd operation, and goes on when
// all whom that operation gathers have come to the same place; if that cannot happen, the run ends with a message.
// Threadgroup memory is poisoned before each threadgroup. Device and constant memory are what the caller hands in.
#pragma once

#include <climits>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define EMU_UNSEEN __attribute__((no_sanitize("thread"), noinline))
#else
#define EMU_UNSEEN __attribute__((noinline))
#endif

typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned char uchar;
typedef _Float16 half;
typedef _Float16 float16_t;
struct uint2 { uint x, y; };
struct uint3 { uint x, y, z; };
struct float2 { float x, y; };

struct bfloat16_t {
  uint16_t bits;
  bfloat16_t() = default;
  bfloat16_t(float value) {
    uint32_t word;
    memcpy(&word, &value, 4);
    bits = value != value ? 0x7fc0 : uint16_t((word + 0x7fff + ((word >> 16) & 1)) >> 16);
  }
  operator float() const {
    uint32_t word = uint32_t(bits) << 16;
    float value;
    memcpy(&value, &word, 4);
    return value;
  }
};

using std::exp;
using std::fma;
using std::log;
using std::log1p;
using std::tanh;
template <typename T> inline T max(T a, T b) { return a < b ? b : (a != a ? b : a); }
template <typename T> inline T min(T a, T b) { return b < a ? b : (a != a ? b : a); }
template <typename To, typename From> inline To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}
enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };

namespace emu {

constexpr uint kSimd = 32, kMostThreads = 1024;
constexpr size_t kStack = 1 << 16;

struct Thread {
  uint3 thread_position_in_grid, thread_position_in_threadgroup, threadgroup_position_in_grid;
  uint3 threads_per_threadgroup, threadgroups_per_grid;
  uint thread_index_in_threadgroup, thread_index_in_simdgroup, simdgroup_index_in_threadgroup;
  uint simdgroups_per_threadgroup;
};

enum class Wait : uint8_t { ready, barrier, simd, done };
typedef void (*Combine)(uint64_t* slots, uint lanes);

struct Fiber {
#if defined(__x86_64__)
  void* sp;
#else
  ucontext_t context;
#endif
  char* stack;
  Wait wait;
  uint line;  // of the operation it waits at: an address would differ where the compiler copied the call
  uint64_t slot;
  Combine combine;
  Thread thread;
  void* seen_as;
  uint barriers;
};

struct Job {
  void (*body)(void** buffers, const Thread& thread);
  void** buffers;
  uint grid[3], group[3];
  int order;  // 0 forward, 1 reverse, otherwise a seed for shuffling
  char* error;
  size_t error_size;
};

inline Fiber fibers[kMostThreads];
inline Fiber home;
inline uint current, live;
inline const Thread& here() { return fibers[current].thread; }
inline const Job* job;
inline uint64_t generation, random_state;
// What threads synchronise on, for TSan: each barrier on a tag of its own, or who is ahead would already release the
// next one to who is behind.
constexpr uint kTags = 64;
inline uint64_t tags[kTags], end_tag;

#if defined(__x86_64__)
extern "C" void emu_switch(void** from, void* to);
asm(R"(
.text
.type emu_switch,@function
emu_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
.size emu_switch,.-emu_switch
)");
EMU_UNSEEN inline void jump(Fiber& from, Fiber& to) { emu_switch(&from.sp, to.sp); }
#else
inline void jump(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }
#endif

EMU_UNSEEN inline void leave() {
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(home.seen_as, __tsan_switch_to_fiber_no_sync);
#endif
  jump(fibers[current], home);
}

EMU_UNSEEN inline void enter(uint at, bool first) {
  current = at;
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(fibers[at].seen_as, first ? 0 : __tsan_switch_to_fiber_no_sync);
#endif
  jump(home, fibers[at]);
}

EMU_UNSEEN inline void main_of_fiber() {
  job->body(job->buffers, fibers[current].thread);
#if defined(__SANITIZE_THREAD__)
  __tsan_release(&end_tag);
#endif
  fibers[current].wait = Wait::done;
  leave();
  abort();
}

EMU_UNSEEN inline void prepare(Fiber& fiber) {
  if (!fiber.stack) fiber.stack = static_cast<char*>(aligned_alloc(64, kStack));
#if defined(__x86_64__)
  void** top = reinterpret_cast<void**>(fiber.stack + kStack - 64);
  *--top = nullptr;  // as if called: the stack is 8 off a multiple of 16
  *--top = reinterpret_cast<void*>(&main_of_fiber);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  fiber.sp = top;
#else
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack;
  fiber.context.uc_stack.ss_size = kStack;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, main_of_fiber, 0);
#endif
  fiber.wait = Wait::ready;
#if defined(__SANITIZE_THREAD__)
  fiber.seen_as = __tsan_create_fiber(0);
#endif
}

// Poison a threadgroup array when the first thread of a threadgroup comes to its declaration.
struct Shared { uint64_t generation = 0; };
EMU_UNSEEN inline void poison(Shared& mark, void* memory, size_t size) {
  if (mark.generation == generation) return;
  mark.generation = generation;
  for (volatile char *at = static_cast<char*>(memory), *end = at + size; at < end; at++) *at = 0x7f;
}

EMU_UNSEEN inline uint64_t gather(Wait wait, uint line, uint64_t value, Combine combine) {
  Fiber& fiber = fibers[current];
  fiber.wait = wait, fiber.line = line, fiber.slot = value, fiber.combine = combine;
  leave();
  return fiber.slot;
}

EMU_UNSEEN inline void* next_tag() { return &tags[fibers[current].barriers++ % kTags]; }

// Whether all of `count` fibers from `first` wait for the same thing at the same place.
EMU_UNSEEN inline bool together(uint first, uint count, Wait wait) {
  for (uint i = first; i < first + count; i++)
    if (fibers[i].wait != wait || fibers[i].line != fibers[first].line) return false;
  return true;
}

EMU_UNSEEN inline bool release(uint threads) {
  bool released = false;
  for (uint first = 0; first < threads; first += kSimd) {
    uint lanes = threads - first < kSimd ? threads - first : kSimd;
    if (!together(first, lanes, Wait::simd)) continue;
    uint64_t slots[kSimd];
    for (uint i = 0; i < lanes; i++) slots[i] = fibers[first + i].slot;
    fibers[first].combine(slots, lanes);
    for (uint i = 0; i < lanes; i++) fibers[first + i].slot = slots[i], fibers[first + i].wait = Wait::ready;
    released = true;
  }
  if (released || !together(0, threads, Wait::barrier)) return released;
  for (uint i = 0; i < threads; i++) fibers[i].wait = Wait::ready;
  return true;
}

EMU_UNSEEN inline int stuck(uint threads) {
  uint counts[4] = {0, 0, 0, 0};
  for (uint i = 0; i < threads; i++) counts[int(fibers[i].wait)]++;
  snprintf(job->error, job->error_size,
           "divergent flow: %u threads at barriers, %u at simd operations, %u at their end, not at one place",
           counts[1], counts[2], counts[3]);
  return 1;
}

EMU_UNSEEN inline uint random_below(uint bound) {
  random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
  return uint((random_state >> 33) % bound);
}

EMU_UNSEEN inline void arrange(uint* order, uint count) {
  for (uint i = 0; i < count; i++) order[i] = job->order == 1 ? count - 1 - i : i;
  if (job->order > 1)
    for (uint i = count; i > 1; i--) {
      uint j = random_below(i), kept = order[i - 1];
      order[i - 1] = order[j], order[j] = kept;
    }
}

EMU_UNSEEN inline int run_group(uint threads) {
  uint order[kMostThreads];
  generation++;
  for (bool first = true;; first = false) {
    arrange(order, threads);
    for (uint i = 0; i < threads; i++)
      if (fibers[order[i]].wait == Wait::ready) enter(order[i], first);
    if (together(0, threads, Wait::done)) return 0;
    bool ended = true;
    for (uint i = 0; i < threads; i++) ended = ended && fibers[i].wait == Wait::done;
    if (ended) return 0;
    if (!release(threads)) return stuck(threads);
  }
}

EMU_UNSEEN inline void place(uint3 group, uint3 groups, uint3 size) {
  for (uint i = 0; i < size.x * size.y * size.z; i++) {
    Fiber& fiber = fibers[i];
    prepare(fiber);
    uint3 in{i % size.x, i / size.x % size.y, i / size.x / size.y};
    fiber.thread = Thread{{group.x * job->group[0] + in.x, group.y * job->group[1] + in.y,
                           group.z * job->group[2] + in.z}, in, group, size, groups, i, i % kSimd, i / kSimd,
                          (size.x * size.y * size.z + kSimd - 1) / kSimd};
    fiber.line = fiber.barriers = 0;
  }
}

EMU_UNSEEN inline int run(const Job& given) {
  job = &given;
  random_state = uint64_t(given.order) * 0x9E3779B97F4A7C15ull + 1;
#if defined(__SANITIZE_THREAD__)
  home.seen_as = __tsan_get_current_fiber();
#endif
  uint counts[3], total = 1;
  for (int i = 0; i < 3; i++) total *= counts[i] = (given.grid[i] + given.group[i] - 1) / given.group[i];
  uint* order = static_cast<uint*>(malloc(total * sizeof(uint)));
  arrange(order, total);
  int failed = 0;
  for (uint at = 0; at < total && !failed; at++) {
    uint index = order[at], size[3];
    uint3 group{index % counts[0], index / counts[0] % counts[1], index / counts[0] / counts[1]};
    const uint where[3] = {group.x, group.y, group.z};
    for (int i = 0; i < 3; i++) {  // Metal trims the last threadgroup
      uint left = given.grid[i] - where[i] * given.group[i];
      size[i] = left < given.group[i] ? left : given.group[i];
    }
    uint threads = size[0] * size[1] * size[2];
    place(group, uint3{counts[0], counts[1], counts[2]}, uint3{size[0], size[1], size[2]});
    failed = run_group(threads);
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&end_tag);  // threadgroups share no threadgroup memory, though here they use the same
    for (uint i = 0; i < threads; i++) __tsan_destroy_fiber(fibers[i].seen_as);
#endif
  }
  free(order);
  return failed;
}

template <typename T> inline uint64_t pack(T value) {
  uint64_t slot = 0;
  __builtin_memcpy(&slot, &value, sizeof(T));
  return slot;
}
template <typename T> inline T unpack(uint64_t slot) {
  T value;
  __builtin_memcpy(&value, &slot, sizeof(T));
  return value;
}

// All lanes get the fold, made pairwise as hardware would.
template <typename T, typename Fold> inline void fold(uint64_t* slots, uint lanes) {
  for (uint step = 1; step < lanes; step *= 2)
    for (uint i = 0; i + step < lanes; i += 2 * step)
      slots[i] = pack(Fold::of(unpack<T>(slots[i]), unpack<T>(slots[i + step])));
  for (uint i = 1; i < lanes; i++) slots[i] = slots[0];
}
template <typename T> struct Sum { static T of(T a, T b) { return a + b; } };
template <typename T> struct Max { static T of(T a, T b) { return max(a, b); } };
template <typename T> struct Min { static T of(T a, T b) { return min(a, b); } };

// A pointer into device memory that counts the bytes read through it.
inline uint64_t bytes_read;
template <typename T> struct Counted {
  T* at;
  Counted operator+(size_t n) const { return {at + n}; }
  T& operator[](size_t n) const { bytes_read += sizeof(T); return at[n]; }
  T& operator*() const { return (*this)[0]; }
};

}  // namespace emu

template <typename T> T simd_sum(T value, uint line = __builtin_LINE()) {
  return emu::unpack<T>(emu::gather(emu::Wait::simd, line, emu::pack(value), emu::fold<T, emu::Sum<T>>));
}
template <typename T> T simd_max(T value, uint line = __builtin_LINE()) {
  return emu::unpack<T>(emu::gather(emu::Wait::simd, line, emu::pack(value), emu::fold<T, emu::Max<T>>));
}
template <typename T> T simd_min(T value, uint line = __builtin_LINE()) {
  return emu::unpack<T>(emu::gather(emu::Wait::simd, line, emu::pack(value), emu::fold<T, emu::Min<T>>));
}
inline void threadgroup_barrier(mem_flags, uint line = __builtin_LINE()) {
#if defined(__SANITIZE_THREAD__)
  void* tag = emu::next_tag();
  __tsan_release(tag);
#endif
  emu::gather(emu::Wait::barrier, line, 0, nullptr);
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(tag);
#endif
}

#define device
#define constant
#define thread
