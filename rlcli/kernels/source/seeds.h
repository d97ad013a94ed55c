// Reset seeds of episodes and the numbers drawn from them, as Python and numpy have them.
//
// An episode's seed is the highest 31 bits of the BLAKE2b hash (RFC 7693, digest of 8 bytes) of the text
// SEED/episode/ENVIRONMENT/EPISODE; what an environment draws comes from PCG64 (XSL-RR 128/64, O'Neill 2014)
// seeded by numpy's SeedSequence.
#define NAME_BYTES 64  // room for SEED/episode/ and a zero

INLINE uint64_t turned(uint64_t word, int by) { return word >> by | word << (64 - by); }

INLINE void blend(uint64_t v[16], int a, int b, int c, int d, uint64_t x, uint64_t y) {
  v[a] += v[b] + x;
  v[d] = turned(v[d] ^ v[a], 32);
  v[c] += v[d];
  v[b] = turned(v[b] ^ v[c], 24);
  v[a] += v[b] + y;
  v[d] = turned(v[d] ^ v[a], 16);
  v[c] += v[d];
  v[b] = turned(v[b] ^ v[c], 63);
}

// The first 8 bytes, as a number read from the highest, of the hash of at most 128 bytes.
static uint64_t short_hash(const uint8_t *text, int length) {
  static const uint64_t start[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};
  static const uint8_t order[10][16] = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
                                        {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
                                        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
                                        {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
                                        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
                                        {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
                                        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
                                        {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
                                        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
                                        {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0}};
  uint64_t word[16] = {0}, v[16];
  for (int i = 0; i < length; i++) word[i / 8] |= (uint64_t)text[i] << 8 * (i % 8);
  const uint64_t parameters = 0x01010008;  // digest of 8 bytes, no key
  for (int i = 0; i < 8; i++) v[i] = v[i + 8] = start[i];
  v[0] ^= parameters;
  v[12] ^= (uint64_t)length;
  v[14] = ~v[14];
  for (int round = 0; round < 12; round++) {
    const uint8_t *o = order[round % 10];
    for (int i = 0; i < 4; i++) blend(v, i, 4 + i, 8 + i, 12 + i, word[o[2 * i]], word[o[2 * i + 1]]);
    for (int i = 0; i < 4; i++)
      blend(v, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, word[o[8 + 2 * i]], word[o[9 + 2 * i]]);
  }
  return __builtin_bswap64(start[0] ^ parameters ^ v[0] ^ v[8]);
}

static int decimal(uint64_t number, uint8_t *to) {
  uint8_t digits[20];
  int count = 0;
  do digits[count++] = (uint8_t)('0' + number % 10);
  while (number /= 10);
  for (int i = 0; i < count; i++) to[i] = digits[count - 1 - i];
  return count;
}

// The seed of an episode; `name` is SEED/episode/ and a zero.
static uint32_t episode_seed(const char *name, int64_t environment, int64_t episode) {
  uint8_t text[128];
  int length = (int)strnlen(name, NAME_BYTES - 1);
  memcpy(text, name, (size_t)length);
  length += decimal((uint64_t)environment, text + length);
  text[length++] = '/';
  length += decimal((uint64_t)episode, text + length);
  return (uint32_t)(short_hash(text, length) >> 33);
}

// `count` numbers in [0, 1), the first of np.random.default_rng(seed).
static void first_numbers(uint32_t seed, int count, double *to) {
  uint32_t pool[4], factor = 0x43b0d7e5u, word;
#define HASHED(target, value, step)                      \
  do {                                                   \
    word = (value) ^ factor;                             \
    factor *= step;                                      \
    word *= factor;                                      \
    target = word ^ word >> 16;                          \
  } while (0)
  for (int i = 0; i < 4; i++) HASHED(pool[i], i ? 0u : seed, 0x931e8875u);
  for (int from = 0; from < 4; from++)
    for (int i = 0; i < 4; i++)
      if (i != from) {
        uint32_t hashed;
        HASHED(hashed, pool[from], 0x931e8875u);
        word = 0xca01f9ddu * pool[i] - 0x4973f715u * hashed;
        pool[i] = word ^ word >> 16;
      }
  uint64_t entropy[4] = {0};
  factor = 0x8b51f9ddu;
  for (int i = 0; i < 8; i++) {
    uint32_t hashed;
    HASHED(hashed, pool[i % 4], 0x58f38dedu);
    entropy[i / 2] |= (uint64_t)hashed << 32 * (i % 2);
  }
#undef HASHED
  typedef unsigned __int128 wide;
  const wide multiplier = (wide)0x2360ed051fc65da4u << 64 | 0x4385df649fccf645u;
  const wide increment = ((wide)entropy[2] << 64 | entropy[3]) << 1 | 1;
  wide state = (increment + ((wide)entropy[0] << 64 | entropy[1])) * multiplier + increment;
  for (int i = 0; i < count; i++) {
    state = state * multiplier + increment;
    const uint64_t folded = (uint64_t)(state >> 64) ^ (uint64_t)state;
    const int by = (int)(state >> 122);
    to[i] = (double)((folded >> by | folded << (-by & 63)) >> 11) * 0x1p-53;
  }
}

// [width, count]: what np.random.default_rng(seed).uniform(low, high) gives, with bounds [width], for each seed.
void EXPORT(uniform_of_seeds)(int64_t count, const int64_t *seeds, int64_t width, const double *low,
                              const double *high, double *to) {
  double drawn[8];
  for (int64_t k = 0; k < count; k++) {
    first_numbers((uint32_t)seeds[k], (int)width, drawn);
    for (int64_t i = 0; i < width; i++) to[i * count + k] = low[i] + (high[i] - low[i]) * drawn[i];
  }
}

// The seeds [count] of episodes: environment and number of each, [count, 2].
void EXPORT(episode_seeds)(const char *name, int64_t count, const int64_t *places, int64_t *to) {
  for (int64_t k = 0; k < count; k++) to[k] = episode_seed(name, places[2 * k], places[2 * k + 1]);
}
