// Random numbers by counter: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
// as 1, 2, 3" (2011), and the noise that policies act by.
//
// A stream is a key of 64 bits; its element i is word i % 4 of the block with counter i / 4. So any part of a
// stream can be had without the rest, and a number depends on nothing but the key and its place.
#define BLOCKS 32  // made side by side
#define AT_ONCE (4 * BLOCKS)

// What a uniform number becomes.
enum { GUMBEL, NORMAL, LOGISTIC };

// One word of every block, in the place of counters, is encrypted in ten rounds.
static void philox(uint32_t word[4][BLOCKS], uint32_t key, uint32_t other_key) {
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < BLOCKS; i++) {
      const uint64_t first = (uint64_t)0xD2511F53u * word[0][i], second = (uint64_t)0xCD9E8D57u * word[2][i];
      word[0][i] = (uint32_t)(second >> 32) ^ word[1][i] ^ key;
      word[1][i] = (uint32_t)second;
      word[2][i] = (uint32_t)(first >> 32) ^ word[3][i] ^ other_key;
      word[3][i] = (uint32_t)first;
    }
    key += 0x9E3779B9u;
    other_key += 0xBB67AE85u;
  }
}

// The AT_ONCE numbers of a stream from block `first` on, each (k + 1/2) / 2^32: neither 0 nor 1.
static void uniform_numbers(uint64_t key, uint64_t first, double *to) {
  uint32_t word[4][BLOCKS];
  for (int i = 0; i < BLOCKS; i++) {
    const uint64_t counter = first + (uint64_t)i;
    word[0][i] = (uint32_t)counter;
    word[1][i] = (uint32_t)(counter >> 32);
    word[2][i] = word[3][i] = 0;
  }
  philox(word, (uint32_t)key, (uint32_t)(key >> 32));
  for (int i = 0; i < BLOCKS; i++)
    for (int j = 0; j < 4; j++) to[4 * i + j] = ((double)word[j][i] + 0.5) * 0x1p-32;
}

INLINE double polynomial(const double *coefficients, double x) {
  double sum = coefficients[7];
#pragma GCC unroll 8
  for (int i = 6; i >= 0; i--) sum = fused_d(sum, x, coefficients[i]);
  return sum;
}

// The normal number below which a share u of all lies, 2^-33 <= u < 1: algorithm AS 241 of Wichura (1988),
// without its last branch, which is for u < 1.4e-11.
INLINE double normal_of(double u) {
  static const double middle_over[8] = {3.3871328727963666080e+0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
                                        1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
                                        3.3430575583588128105e+4, 2.5090809287301226727e+3};
  static const double middle_under[8] = {1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2,
                                         5.3941960214247511077e+3, 2.1213794301586595867e+4, 3.9307895800092710610e+4,
                                         2.8729085735721942674e+4, 5.2264952788528545610e+3};
  static const double tail_over[8] = {1.42343711074968357734e+0, 4.63033784615654529590e+0, 5.76949722146069140550e+0,
                                      3.64784832476320460504e+0, 1.27045825245236838258e+0, 2.41780725177450611770e-1,
                                      2.27238449892691845833e-2, 7.74545014278341407640e-4};
  static const double tail_under[8] = {1.0, 2.05319162663775882187e+0, 1.67638483018380384940e+0,
                                       6.89767334985100004550e-1, 1.48103976427480074590e-1, 1.51986665636164571966e-2,
                                       5.47593808499534494600e-4, 1.05075007164441684324e-9};
  const double q = u - 0.5, r = 0.180625 - q * q;
  const double middle = q * polynomial(middle_over, r) / polynomial(middle_under, r);
  const double side = q < 0 ? u : 1.0 - u;
  const double far = sqrt(-log_of_d(side)) - 1.6;
  const double tail = polynomial(tail_over, far) / polynomial(tail_under, far);
  const double size = q < 0 ? -tail : tail;
  return r >= 0 ? middle : size;
}

static void noise_of(int64_t kind, const double *u, float *to) {
  switch (kind) {
    case GUMBEL:
      for (int i = 0; i < AT_ONCE; i++) to[i] = -log_of_f((float)-log_of_d(u[i]));
      break;
    case NORMAL:
      for (int i = 0; i < AT_ONCE; i++) to[i] = (float)normal_of(u[i]);
      break;
    default:
      for (int i = 0; i < AT_ONCE; i++) to[i] = (float)(log_of_d(u[i]) - log_of_d(1.0 - u[i]));
  }
}

// Noise [steps, runs, count]: that of a run is the first steps x count elements of its own stream.
void EXPORT(noise)(int64_t kind, int64_t runs, const uint64_t *keys, int64_t steps, int64_t count, float *to) {
  double u[AT_ONCE];
  float made[AT_ONCE];
  for (int64_t r = 0; r < runs; r++) {
    int64_t left = 0, at = 0;
    uint64_t block = 0;
    for (int64_t t = 0; t < steps; t++)
      for (int64_t i = 0; i < count; i += at) {
        if (!left) {
          uniform_numbers(keys[r], block, u);
          noise_of(kind, u, made);
          block += BLOCKS;
          left = AT_ONCE;
        }
        at = left < count - i ? left : count - i;
        memcpy(to + (t * runs + r) * count + i, made + AT_ONCE - left, (size_t)at * sizeof(float));
        left -= at;
      }
  }
}

// The words that counters [count, 4] become under keys [count, 2]; to be compared with published ones.
void EXPORT(philox)(int64_t count, const uint32_t *counters, const uint32_t *keys, uint32_t *to) {
  uint32_t word[4][BLOCKS];
  for (int64_t k = 0; k < count; k++) {
    for (int j = 0; j < 4; j++)
      for (int i = 0; i < BLOCKS; i++) word[j][i] = counters[4 * k + j];
    philox(word, keys[2 * k], keys[2 * k + 1]);
    for (int j = 0; j < 4; j++) to[4 * k + j] = word[j][BLOCKS - 1];
  }
}
