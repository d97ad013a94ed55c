// Numbers as text: the shortest decimal that reads back as the same double, the closest of those, in the form of
// Python's repr.
//
// Algorithm: R. Giulietti, "The Schubfach way to render doubles" (2020). `powers` are g of 10^k for
// -292 <= k <= 324, two words each, the high one first: 10^k 2^-r rounded up, where 2^127 <= g < 2^128.
#pragma once

#define LEAST_POWER (-292)
#define TEXT_BYTES 26  // the longest text, -1.2345678901234567e-300, and a blank

typedef unsigned __int128 Wide;
typedef struct {
  uint64_t digits;
  int exponent;
} Decimal;

// The high word of g cp, with its last bit set where lower bits were lost.
INLINE uint64_t rounded_to_odd(const uint64_t *g, uint64_t cp) {
  const Wide low = (Wide)g[1] * cp, high = (Wide)g[0] * cp + (uint64_t)(low >> 64);
  return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

// floor(log2 10^k).
INLINE int log2_of_power(int k) { return (k * 1741647) >> 19; }

// The shortest decimal in the interval that rounds to c 2^q; `closer`: below it doubles are twice as dense.
static Decimal shortest(const uint64_t *powers, uint64_t c, int q, int closer) {
  const uint64_t odd = c & 1, cb = 4 * c;
  const int k = (q * 1262611 - (closer ? 524031 : 0)) >> 22, h = q + log2_of_power(-k) + 1;
  const uint64_t *g = powers + 2 * (-k - LEAST_POWER);
  const uint64_t lower = rounded_to_odd(g, (cb - 2 + (uint64_t)closer) << h) + odd;
  const uint64_t middle = rounded_to_odd(g, cb << h), upper = rounded_to_odd(g, (cb + 2) << h) - odd;
  const uint64_t s = middle / 4;
  if (s >= 10) {
    const uint64_t tens = s / 10;
    const int below = lower <= 40 * tens, above = 40 * tens + 40 <= upper;
    if (below != above) return (Decimal){tens + (uint64_t)above, k + 1};
  }
  const int below = lower <= 4 * s, above = 4 * s + 4 <= upper;
  if (below != above) return (Decimal){s + (uint64_t)above, k};
  const uint64_t half = 4 * s + 2;
  return (Decimal){s + (middle > half || (middle == half && (s & 1))), k};
}

static char *put(char *to, const char *text, int64_t count) {
  memcpy(to, text, (size_t)count);
  return to + count;
}

// Digits and the power of ten of the first of them, as repr has them.
static char *put_decimal(char *to, const char *digit, int count, int power) {
  if (power < -4 || power >= 16) {
    *to++ = digit[0];
    if (count > 1) *to++ = '.';
    to = put(to, digit + 1, count - 1);
    *to++ = 'e';
    *to++ = power < 0 ? '-' : '+';
    const int size = power < 0 ? -power : power;
    if (size >= 100) *to++ = (char)('0' + size / 100);
    *to++ = (char)('0' + size / 10 % 10);
    *to++ = (char)('0' + size % 10);
    return to;
  }
  if (power < 0) {
    to = put(to, "0.000", 1 - power);
    return put(to, digit, count);
  }
  for (int i = 0; i <= power; i++) *to++ = i < count ? digit[i] : '0';
  *to++ = '.';
  if (count <= power + 1) *to++ = '0';
  else to = put(to, digit + power + 1, count - power - 1);
  return to;
}

static char *put_number(char *to, double x, const uint64_t *powers) {
  const uint64_t bits = to_bits_d(x), fraction = bits & (((uint64_t)1 << 52) - 1);
  const int exponent = (int)(bits >> 52 & 2047);
  if (exponent == 2047 && fraction) return put(to, "nan", 3);
  if (bits >> 63) *to++ = '-';
  if (exponent == 2047) return put(to, "inf", 3);
  if (x == 0) return put(to, "0.0", 3);
  const uint64_t c = exponent ? fraction | (uint64_t)1 << 52 : fraction;
  Decimal found = shortest(powers, c, exponent ? exponent - 1075 : -1074, !fraction && exponent > 1);
  while (found.digits % 10 == 0) {
    found.digits /= 10;
    found.exponent++;
  }
  char digit[20];
  int first = 20;
  for (uint64_t rest = found.digits; rest; rest /= 10) digit[--first] = (char)('0' + rest % 10);
  return put_decimal(to, digit + first, 20 - first, found.exponent + 19 - first);
}

// Texts of all numbers, a blank after each; returns their bytes in `length`. `to` has TEXT_BYTES for each.
void EXPORT(texts)(int64_t count, const double *values, const uint64_t *powers, char *to, int64_t *length) {
  char *end = to;
  for (int64_t i = 0; i < count; i++) {
    end = put_number(end, values[i], powers);
    *end++ = ' ';
  }
  *length = end - to;
}
