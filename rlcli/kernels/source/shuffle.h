// Random permutations, each from a seed of its own.
//
// Draw i of a seed is the finaliser of SplitMix64 at seed + (i + 1) gamma (Steele, Lea and Flood 2014, 'Fast
// Splittable Pseudorandom Number Generators'): a counter goes through a bijection of 64 bits. A whole number
// below a bound comes from its upper half by a multiplication, with the few draws rejected that would favour
// some (Lemire 2019, 'Fast Random Integer Generation in an Interval'). The order is Fisher's and Yates'.
#pragma once

static uint64_t next_draw(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// In [0, bound), all alike; the bound is not 0.
INLINE uint32_t below(uint64_t *state, uint32_t bound) {
  uint64_t product = (next_draw(state) >> 32) * bound;
  if ((uint32_t)product < bound) {
    const uint32_t surplus = -bound % bound;  // 2^32 modulo the bound
    while ((uint32_t)product < surplus) product = (next_draw(state) >> 32) * bound;
  }
  return (uint32_t)(product >> 32);
}

// A permutation of 0 .. count - 1, by the seed.
static void permutation(uint64_t seed, long count, int64_t *order) {
  for (long i = 0; i < count; i++) order[i] = i;
  for (long left = count; left > 1; left--) {
    const uint32_t chosen = below(&seed, (uint32_t)left);
    const int64_t taken = order[chosen];
    order[chosen] = order[left - 1];
    order[left - 1] = taken;
  }
}

// Permutations [runs, count] of run r's seed each; count below 2^32.
void EXPORT(permutations)(long runs, long count, const uint64_t *seeds, int64_t *orders) {
  for (long r = 0; r < runs; r++) permutation(seeds[r], count, orders + r * count);
}
