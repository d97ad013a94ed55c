// Whitening of advantages: zero mean and unit population deviation (maths.estimators.whiten).
//
// Two passes in float64, in the order of sums.h: the mean and the mean square, then the mean square of what
// is left without the mean. The squares of floats do not overflow there. Where the deviation is at most 1e-6
// of the root mean square the differences are rounding, and the divisor is infinite: the result is zero.
// A NaN or an infinity among the values makes all of them NaN.
#pragma once

#include "sums.h"

#define MINIMUM_DEVIATION 1e-8
#define ROUNDING_SHARE 1e-6

INLINE void whitening_of(long count, const float *values, const int64_t *order, double *mean, double *divisor) {
  double sum, squares, apart;
#define VALUE(i) ((double)values[order ? order[i] : (i)])
#define SQUARE(i) (VALUE(i) * VALUE(i))
#define APART(i) ((VALUE(i) - middle) * (VALUE(i) - middle))
  SUM(sum, count, VALUE);
  const double middle = sum / (double)count;
  SUM(squares, count, SQUARE);
  SUM(apart, count, APART);
#undef VALUE
#undef SQUARE
#undef APART
  const double deviation = sqrt(apart / (double)count), size = sqrt(squares / (double)count);
  *mean = middle;
  if (deviation <= ROUNDING_SHARE * size) *divisor = INFINITY;
  else *divisor = deviation < MINIMUM_DEVIATION ? MINIMUM_DEVIATION : deviation;
}

// Mean and divisor of values[order[0 .. count)], or of values[0 .. count) where `order` is NULL. Indices are
// not checked.
static void whitening(long count, const float *values, const int64_t *order, double *mean, double *divisor) {
  if (order) whitening_of(count, values, order, mean, divisor);
  else whitening_of(count, values, NULL, mean, divisor);
}

// One value whitened; adding 0 makes a negative zero positive.
INLINE float whitened(float value, double mean, double divisor) {
  return (float)(((double)value - mean) / divisor + 0.0);
}

// Rows [rows, count] each whitened by itself.
void EXPORT(whiten)(long rows, long count, const float *values, float *out) {
  for (long r = 0; r < rows; r++, values += count, out += count) {
    double mean, divisor;
    whitening(count, values, NULL, &mean, &divisor);
    for (long i = 0; i < count; i++) out[i] = whitened(values[i], mean, divisor);
  }
}
