// One query position a row against that row's own cached keys and values: bfloat16 bits in and out, float32 sums.
// q, out [rows, kv_heads, GROUP, 64]; k, v [rows, kv_heads, capacity, 64]; lengths [rows]. Compiled on demand, once per GROUP.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#ifndef GROUP
#define GROUP 3
#endif

constexpr int LANES = 16, DIM = 64, BLOCKS = DIM / LANES;
typedef float Floats __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));
typedef uint16_t Halves __attribute__((vector_size(32)));

static inline Floats widen(const uint16_t* bits) {
    Halves halves;
    std::memcpy(&halves, bits, sizeof halves);
    return (Floats)(__builtin_convertvector(halves, Words) << 16);
}

static inline void narrow(uint16_t* bits, Floats value) {
    Words words = (Words)value;
    Halves halves = __builtin_convertvector((words + 0x7fff + ((words >> 16) & 1)) >> 16, Halves);
    std::memcpy(bits, &halves, sizeof halves);
}

static inline float total(Floats value) {
    float sum = 0.0f;
    for (int lane = 0; lane < LANES; ++lane) sum += value[lane];
    return sum;
}

static void attend(const uint16_t* q, const uint16_t* keys, const uint16_t* values, uint16_t* out, int64_t length, float* scores) {
    Floats query[GROUP][BLOCKS], read[GROUP][BLOCKS] = {};
    for (int g = 0; g < GROUP; ++g)
        for (int b = 0; b < BLOCKS; ++b) query[g][b] = widen(q + g * DIM + b * LANES) * (1.0f / std::sqrt(float(DIM)));
    for (int64_t s = 0; s < length; ++s) {
        Floats dot[GROUP] = {};
        for (int b = 0; b < BLOCKS; ++b) {
            const Floats key = widen(keys + s * DIM + b * LANES);
            for (int g = 0; g < GROUP; ++g) dot[g] += query[g][b] * key;
        }
        for (int g = 0; g < GROUP; ++g) scores[g * length + s] = total(dot[g]);
    }
    float sums[GROUP] = {};
    for (int g = 0; g < GROUP; ++g) {
        float* row = scores + g * length;
        float top = row[0];
        for (int64_t s = 1; s < length; ++s) top = row[s] > top ? row[s] : top;
        for (int64_t s = 0; s < length; ++s) sums[g] += row[s] = std::exp(row[s] - top);
    }
    for (int64_t s = 0; s < length; ++s)
        for (int b = 0; b < BLOCKS; ++b) {
            const Floats value = widen(values + s * DIM + b * LANES);
            for (int g = 0; g < GROUP; ++g) read[g][b] += scores[g * length + s] * value;
        }
    for (int g = 0; g < GROUP; ++g)
        for (int b = 0; b < BLOCKS; ++b) narrow(out + g * DIM + b * LANES, read[g][b] / sums[g]);
}

extern "C" void decode_attention(const uint16_t* q, const uint16_t* k, const uint16_t* v, uint16_t* out,
                                 const int64_t* lengths, int64_t rows, int64_t kv_heads, int64_t capacity) {
#pragma omp parallel
    {
        std::vector<float> scores(GROUP * capacity);
#pragma omp for schedule(dynamic, 24)
        for (int64_t task = 0; task < rows * kv_heads; ++task)
            attend(q + task * GROUP * DIM, k + task * capacity * DIM, v + task * capacity * DIM, out + task * GROUP * DIM,
                   lengths[task / kv_heads], scores.data());
    }
}
