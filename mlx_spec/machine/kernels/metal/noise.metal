// The noise of sampling.py, computed where it is used: Threefry-2x32 with 20 rounds (Salmon et al. 2011).

inline uint2 threefry(uint2 key, uint2 counter) {
  const uint words[3] = {key.x, key.y, key.x ^ key.y ^ 0x1BD11BDAu};
  const uint rotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
  uint x = counter.x + words[0], y = counter.y + words[1];
  for (uint block = 0; block < 5; block++) {
    for (uint i = 0; i < 4; i++) {
      const uint by = rotations[block % 2][i];
      x += y;
      y = ((y << by) | (y >> (32 - by))) ^ x;
    }
    x += words[(block + 1) % 3];
    y += words[(block + 2) % 3] + block + 1;
  }
  uint2 drawn;
  drawn.x = x;
  drawn.y = y;
  return drawn;
}

// mx.random.split lays words out in two halves: one call gives those of tokens i and i + pairs, 2 * pairs >= vocab.
inline uint2 noise_words(uint2 key, uint i, uint pairs) {
  uint2 counter;
  counter.x = i;
  counter.y = i + pairs;
  return threefry(key, counter);
}

inline float gumbel(uint word) {
  const float uniform = min((float(word) + 0.5f) * 2.3283064365386963e-10f, 0.99999994f);
  return -log(-log1p(-uniform));
}
