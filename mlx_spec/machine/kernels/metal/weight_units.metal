// Weights eight at a time, a unit: 8 * BITS bits of the little-endian stream that `mx.quantize` makes of a row, whatever
// words they lie in, or eight numbers of a dense layer. A group of quantised weights is whole units.

enum Format { DENSE = 0, AFFINE = 1, MX = 2, NV = 3 };

struct Packed {
  uint low, high;  // the first 32 bits, and those behind
};

// Of two words at the most, the second only where the unit reaches into it.
template <int BITS, typename W>
inline Packed packed_unit(W words, uint unit) {
  const uint byte = unit * BITS, shift = byte % 4 * 8;
  const uint low = words[byte / 4];
  const uint high = shift + 8 * BITS > 32 ? words[byte / 4 + 1] : 0u;
  Packed packed;
  packed.low = shift == 0 ? low : (low >> shift) | (high << (32 - shift));
  packed.high = high >> shift;
  return packed;
}

template <int BITS>
inline uint number(Packed packed, uint j) {
  const uint at = j * BITS;
  const uint found = at >= 32          ? packed.high >> (at - 32)
                     : at + BITS <= 32 ? packed.low >> at
                                       : (packed.low >> at) | (packed.high << (32 - at));
  return found & ((1u << BITS) - 1u);
}

// A scale that is a power of two, and one of the kind that mxfp8 weights are: a sign, 4 bits of exponent, 3 of fraction.
inline float e8m0(uint byte) { return as_type<float>(byte == 0 ? 0x400000u : byte << 23); }

inline float e4m3(uint byte) {
  const uint size = byte & 127u;
  const float small = float(size) * 0.001953125f;
  const float large = as_type<float>(size == 127u ? 0x7fc00000u : (size << 20) + (120u << 23));
  const float value = size < 8u ? small : large;
  return byte & 128u ? -value : value;
}

// Twice what mxfp4 and nvfp4 weights are: 0, 1, 2, 3, 4, 6, 8, 12 with a sign.
inline float e2m1_doubled(uint four) {
  const float value = float((0xC8643210u >> (4 * (four & 7u))) & 15u);
  return four & 8u ? -value : value;
}

// `values` of one unit of row `row`; rows are `inputs` long.
template <int FORMAT, int BITS, int GROUP>
struct Units {
  template <typename W, typename S, typename B, typename V>
  static inline void read(W weights, S scales, B biases, size_t row, uint inputs, uint unit, V values) {
    const Packed packed = packed_unit<BITS>(weights + row * (inputs * BITS / 32), unit);
    const size_t group = row * (inputs / GROUP) + unit * 8 / GROUP;
    const uint byte = uint(scales[group]);
    const float scale = FORMAT == MX ? e8m0(byte) : e4m3(byte);
    #pragma unroll
    for (uint j = 0; j < 8; j++) {
      const uint bits = number<BITS>(packed, j);
      values[j] = BITS == 4 ? 0.5f * scale * e2m1_doubled(bits) : scale * e4m3(bits);
    }
  }
};

template <int BITS, int GROUP>
struct Units<AFFINE, BITS, GROUP> {
  template <typename W, typename S, typename B, typename V>
  static inline void read(W weights, S scales, B biases, size_t row, uint inputs, uint unit, V values) {
    const Packed packed = packed_unit<BITS>(weights + row * (inputs * BITS / 32), unit);
    const size_t group = row * (inputs / GROUP) + unit * 8 / GROUP;
    const float scale = float(scales[group]), bias = float(biases[group]);
    #pragma unroll
    for (uint j = 0; j < 8; j++) values[j] = fma(scale, float(number<BITS>(packed, j)), bias);
  }
};

template <int BITS, int GROUP>
struct Units<DENSE, BITS, GROUP> {
  template <typename W, typename S, typename B, typename V>
  static inline void read(W weights, S scales, B biases, size_t row, uint inputs, uint unit, V values) {
    #pragma unroll
    for (uint j = 0; j < 8; j++) values[j] = float(weights[row * inputs + unit * 8 + j]);
  }
};

// Which rows a tile of the grid multiplies, with whose weights. Without experts: the next ROWS.
template <int SHARE, int ROWS>
struct Tile {  // a product of one row with one expert, of which each row has SHARE
  template <typename E>
  static inline size_t expert(E experts, uint tile) { return experts[tile]; }
  static inline uint first_row(uint tile) { return tile / SHARE; }
};

template <int ROWS>
struct Tile<0, ROWS> {
  template <typename E>
  static inline size_t expert(E experts, uint tile) { return 0; }
  static inline uint first_row(uint tile) { return tile * ROWS; }
};
