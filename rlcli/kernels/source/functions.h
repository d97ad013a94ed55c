// Elementary functions, included per precision by elementary.h; errors are in docs/results/elementary.md.
//
// Ranges are reduced as is usual: exp by x = n log 2 + r, log by x = 2^n (1 + f). The form of log(1 + f), with
// s = f/(2 + f), is that of Ng's in fdlibm (Sun Microsystems 1993). Coefficients are our own.

INLINE F(bits) F(to_bits)(REAL x) {
  F(bits) bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

INLINE REAL F(from_bits)(F(bits) bits) {
  REAL x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

INLINE REAL F(size_of)(REAL x) { return x < 0 ? -x : x; }

// `size` with the sign of x.
INLINE REAL F(sign_of)(REAL size, REAL x) {
  const F(bits) one = 1, sign = one << (8 * sizeof one - 1);
  return F(from_bits)((F(to_bits)(size) & ~sign) | (F(to_bits)(x) & sign));
}

// 2^n of shifted = SHIFT + n, where it is a normal number.
INLINE REAL F(power_of_two)(REAL shifted) { return F(from_bits)((F(to_bits)(shifted) + BIAS) << DIGITS); }

INLINE REAL F(between)(REAL x, REAL low, REAL high) {
  REAL below = x > high ? high : x;
  return below < low ? low : below;
}

// exp(x). The power of two is multiplied in by halves, since it may be no normal number.
INLINE REAL F(exp_of)(REAL x) {
  REAL held = F(between)(x, LEAST, MOST);
  REAL n = F(fused)(held, F(LOG2_E), SHIFT) - SHIFT;
  REAL r = F(fused)(n, -F(LN2_LOW), F(fused)(n, -F(LN2_HIGH), held));
  REAL first = F(fused)(n, (REAL)0.5, SHIFT), second = n - (first - SHIFT) + SHIFT;
  REAL power = 1 + F(fused)(r * r, F(exp_tail)(r), r);
  return x == x ? power * F(power_of_two)(first) * F(power_of_two)(second) : x;
}

// exp(x) - 1 for LEAST <= x <= MOST as a number and what its rounding left out; both are to be multiplied by
// `factor`, which is 2 where 2^n overflows.
INLINE REAL F(growth)(REAL x, REAL *left, REAL *factor) {
  REAL n = F(fused)(x, F(LOG2_E), SHIFT) - SHIFT;
  REAL high = F(fused)(n, -F(LN2_HIGH), x);  // exact
  REAL r = F(fused)(n, -F(LN2_LOW), high), r_left = F(fused)(n, -F(LN2_LOW), high - r);
  REAL halved = n > BIAS ? 1 : 0, scale = F(power_of_two)(n - halved + SHIFT);
  REAL most = F(fused)(scale, r, scale - 1), most_left = F(fused)(scale, r, scale - 1 - most);
  REAL rest = F(fused)(scale, F(fused)(r * r, F(exp_tail)(r), r_left), most_left), sum = most + rest;
  *left = most - sum + rest;
  *factor = 1 + halved;
  return sum;
}

// exp(x) - 1, with all its digits near 0.
INLINE REAL F(expm1_of)(REAL x) {
  REAL left, factor, grown = F(growth)(F(between)(x, -(REAL)(2 * DIGITS), MOST), &left, &factor);
  REAL sized = x == 0 ? x : grown * factor;
  return x == x ? sized : x;
}

// tanh(x) = sign(x) E/(E + 2), E = exp(2 |x|) - 1. What E and E + 2 lost by rounding is put right to first order:
// 1/(E + 2) is half of 1 less the result.
INLINE REAL F(tanh_by_exp)(REAL x) {
  REAL left, factor, size = F(size_of)(x), twice = size > DIGITS ? 2 * DIGITS : 2 * size;
  REAL grown = F(growth)(twice, &left, &factor), sum = grown + 2, ratio = grown / sum;
  REAL sum_left = grown < 2 ? 2 - sum + grown : 0, missing = (REAL)0.5 - (REAL)0.5 * ratio;
  REAL more = missing * F(fused)(2 * missing, left, -ratio * sum_left);
  REAL result = F(sign_of)(ratio + more, x);
  return x == x ? result : x;
}

// log of 2^n (1 + f), sqrt(1/2) - 1 <= f < sqrt(2) - 1.
INLINE REAL F(log_of_parts)(REAL n, REAL f) {
  REAL s = f / (2 + f), z = s * s, half = (REAL)0.5 * f * f;
  REAL rest = half - F(fused)(s, F(fused)(z, F(log_tail)(z), half), n * F(LN2_LOW));
  return F(fused)(n, F(LN2_HIGH), f - rest);
}

// The n and 1 + f of a positive normal number.
INLINE REAL F(parts)(REAL x, REAL *n) {
  const F(bits) root = F(to_bits)((REAL)0x1.6a09e667f3bcdp-1), one = 1;
  F(bits) above = F(to_bits)(x) - root + ((F(bits))BIAS << DIGITS);
  *n = F(from_bits)((above >> DIGITS) + F(to_bits)(SHIFT)) - (SHIFT + BIAS);
  return F(from_bits)((above & ((one << DIGITS) - 1)) + root);
}

// `value` where x > 0, the limits elsewhere.
INLINE REAL F(log_limits)(REAL x, REAL value) {
  REAL bounded = x < (REAL)INFINITY ? value : x, else_ = x == 0 ? -(REAL)INFINITY : (REAL)NAN;
  return x > 0 ? bounded : else_;
}

INLINE REAL F(log_of)(REAL x) {
  REAL n, raised = x < TINY ? (REAL)DIGITS : 0, x_normal = x < TINY ? x * (REAL)((F(bits))1 << DIGITS) : x;
  REAL f = F(parts)(x_normal, &n) - 1;
  return F(log_limits)(x, F(log_of_parts)(n - raised, f));
}

// log(1 + x), with all its digits near 0: 1 + x = 2^n (1 + f), where f is rounded once.
INLINE REAL F(log1p_of)(REAL x) {
  REAL n, sum = 1 + x, rounded = F(parts)(sum, &n) - 1;
  REAL scale = F(power_of_two)(SHIFT - n);
  REAL f = sum > (REAL)((F(bits))1 << DIGITS) ? rounded : F(fused)(x, scale, scale - 1);
  REAL value = F(log_limits)(sum, F(log_of_parts)(n, f));
  return x == 0 ? x : value;
}

// erf(x): x + x Q(x²) to 1, from there 1 - exp(-x²) erfcx(x), with the sign of x.
INLINE REAL F(erf_of)(REAL x) {
  REAL size = F(size_of)(x), far = F(between)(size, 1, 6), z = x * x;
  REAL near = F(fused)(x, F(erf_tail)(z), x);
  REAL tail = F(exp_of)(-far * far) * F(erfcx)((far - 3) / (far + 3));
  REAL result = size < 1 ? near : F(sign_of)(1 - tail, x);
  return x == x ? result : x;
}
