// exp, expm1, log, log1p, tanh and erf of one number, for both precisions: no branches, so that a loop over them
// becomes vectors, and no function of the C library, whose digits differ between processors.
#pragma once

#include "coefficients.h"

typedef uint32_t bits_f;
typedef uint64_t bits_d;

#include "single.h"
#define DIGITS 23
#define BIAS 127
#define SHIFT 0x1.8p23f  // added to a number below 2^22, leaves its nearest integer in the last bits
#define TINY 0x1p-126f   // the smallest normal number
#define LEAST -104.0f    // exp of less is 0
#define MOST 89.0f       // exp of more is infinite
#include "functions.h"

#include "double.h"
#undef DIGITS
#undef BIAS
#undef SHIFT
#undef TINY
#undef LEAST
#undef MOST
#define DIGITS 52
#define BIAS 1023
#define SHIFT 0x1.8p52
#define TINY 0x1p-1022
#define LEAST -746.0
#define MOST 710.0
#include "functions.h"

INLINE double tanh_of_d(double x) { return tanh_by_exp_d(x); }

// In float, for every hidden unit, by a rational function: some digits less than by exp, in half of the time.
INLINE float tanh_of_f(float x) {
  float held = between_f(x, -9, 9);
  return between_f(held * tanh_ratio_f(held * held), -1, 1);
}
