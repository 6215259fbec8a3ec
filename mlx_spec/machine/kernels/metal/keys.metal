// Floats as unsigned integers of the same order.
inline uint key_of(float value) {
  const uint bits = as_type<uint>(value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

inline float value_of(uint key) { return as_type<float>(key & 0x80000000u ? key & 0x7FFFFFFFu : ~key); }
