// Written by scripts/elementary_coefficients.py: change that, not this.
#pragma once

static const float LOG2_E_f = 0x1.7154760000000p+0f;
static const float LN2_HIGH_f = 0x1.62e4300000000p-1f;
static const float LN2_LOW_f = -0x1.05c6100000000p-29f;

// (exp(r) - 1 - r)/r²: error at most 1.4e-9.
INLINE float exp_tail_f(float x) {
  float sum = 0x1.a1256c0000000p-13f;
  sum = fused_f(sum, x, 0x1.6d43b00000000p-10f);
  sum = fused_f(sum, x, 0x1.1110e00000000p-7f);
  sum = fused_f(sum, x, 0x1.5554e80000000p-5f);
  sum = fused_f(sum, x, 0x1.5555560000000p-3f);
  sum = fused_f(sum, x, 0x1.0000000000000p-1f);
  return sum;
}

// (log((1 + s)/(1 - s))/s - 2)/s² of z = s²: error at most 1.2e-9.
INLINE float log_tail_f(float x) {
  float sum = 0x1.ddd4da0000000p-3f;
  sum = fused_f(sum, x, 0x1.245c280000000p-2f);
  sum = fused_f(sum, x, 0x1.9999ec0000000p-2f);
  sum = fused_f(sum, x, 0x1.5555560000000p-1f);
  return sum;
}

// erf(x)/x - 1 of z = x²: error at most 1.2e-9.
INLINE float erf_tail_f(float x) {
  float sum = 0x1.4a56900000000p-14f;
  sum = fused_f(sum, x, -0x1.a450880000000p-11f);
  sum = fused_f(sum, x, 0x1.5412700000000p-8f);
  sum = fused_f(sum, x, -0x1.b7faba0000000p-6f);
  sum = fused_f(sum, x, 0x1.ce2d100000000p-4f);
  sum = fused_f(sum, x, -0x1.81273e0000000p-2f);
  sum = fused_f(sum, x, 0x1.06eba80000000p-3f);
  return sum;
}

// exp(x²) (1 - erf(x)) of u = (x - 3)/(x + 3): error at most 1.4e-11.
INLINE float erfcx_f(float x) {
  float sum = -0x1.2283f80000000p-11f;
  sum = fused_f(sum, x, 0x1.8c33a20000000p-11f);
  sum = fused_f(sum, x, 0x1.18a5ce0000000p-8f);
  sum = fused_f(sum, x, -0x1.8fa6100000000p-6f);
  sum = fused_f(sum, x, 0x1.258a960000000p-4f);
  sum = fused_f(sum, x, -0x1.3370000000000p-3f);
  sum = fused_f(sum, x, 0x1.f6ff200000000p-3f);
  sum = fused_f(sum, x, -0x1.4e102c0000000p-2f);
  sum = fused_f(sum, x, 0x1.6e98280000000p-3f);
  return sum;
}

static const double LOG2_E_d = 0x1.71547652b82fep+0;
static const double LN2_HIGH_d = 0x1.62e42fefa39efp-1;
static const double LN2_LOW_d = 0x1.abc9e3b39803fp-56;

// (exp(r) - 1 - r)/r²: error at most 1.4e-18.
INLINE double exp_tail_d(double x) {
  double sum = 0x1.1f7340dbc337ep-29;
  sum = fused_d(sum, x, 0x1.af4e554377204p-26);
  sum = fused_d(sum, x, 0x1.27e4db46cddd1p-22);
  sum = fused_d(sum, x, 0x1.71de01fdbf9cap-19);
  sum = fused_d(sum, x, 0x1.a01a01a6e1e2ap-16);
  sum = fused_d(sum, x, 0x1.a01a01abf85abp-13);
  sum = fused_d(sum, x, 0x1.6c16c16c162c3p-10);
  sum = fused_d(sum, x, 0x1.11111111100bep-7);
  sum = fused_d(sum, x, 0x1.5555555555556p-5);
  sum = fused_d(sum, x, 0x1.5555555555557p-3);
  sum = fused_d(sum, x, 0x1.0000000000000p-1);
  return sum;
}

// (log((1 + s)/(1 - s))/s - 2)/s² of z = s²: error at most 3.1e-16.
INLINE double log_tail_d(double x) {
  double sum = 0x1.2b5f68a50d903p-3;
  sum = fused_d(sum, x, 0x1.39fdcceb4bb45p-3);
  sum = fused_d(sum, x, 0x1.7462b91b8df65p-3);
  sum = fused_d(sum, x, 0x1.c71c62d5e53e0p-3);
  sum = fused_d(sum, x, 0x1.2492492dfd86cp-2);
  sum = fused_d(sum, x, 0x1.9999999995273p-2);
  sum = fused_d(sum, x, 0x1.5555555555558p-1);
  return sum;
}

// erf(x)/x - 1 of z = x²: error at most 7.4e-18.
INLINE double erf_tail_d(double x) {
  double sum = -0x1.ac9585a44fe29p-31;
  sum = fused_d(sum, x, 0x1.d76af6ca49787p-27);
  sum = fused_d(sum, x, -0x1.5c131500d3f88p-23);
  sum = fused_d(sum, x, 0x1.b981d78881a5dp-20);
  sum = fused_d(sum, x, -0x1.f4ca838adb73bp-17);
  sum = fused_d(sum, x, 0x1.f9a2be4f731a1p-14);
  sum = fused_d(sum, x, -0x1.c02db0665e53dp-11);
  sum = fused_d(sum, x, 0x1.565bccfa44156p-8);
  sum = fused_d(sum, x, -0x1.b82ce31203772p-6);
  sum = fused_d(sum, x, 0x1.ce2f21a040f66p-4);
  sum = fused_d(sum, x, -0x1.812746b0379c1p-2);
  sum = fused_d(sum, x, 0x1.06eba8214db68p-3);
  return sum;
}

// exp(x²) (1 - erf(x)) of u = (x - 3)/(x + 3): error at most 5.3e-18.
INLINE double erfcx_d(double x) {
  double sum = 0x1.d0badb83f2cadp-29;
  sum = fused_d(sum, x, 0x1.56695202d55bcp-20);
  sum = fused_d(sum, x, 0x1.0e3fb74fdc507p-19);
  sum = fused_d(sum, x, -0x1.0cc37e8e915adp-17);
  sum = fused_d(sum, x, -0x1.af086905fc57fp-17);
  sum = fused_d(sum, x, 0x1.0cb2e63fe2177p-14);
  sum = fused_d(sum, x, 0x1.7b9ef7977ceafp-15);
  sum = fused_d(sum, x, -0x1.39085f2b38287p-11);
  sum = fused_d(sum, x, 0x1.73101f6d2e434p-11);
  sum = fused_d(sum, x, 0x1.17c839090a469p-8);
  sum = fused_d(sum, x, -0x1.8fa58eb5ea92cp-6);
  sum = fused_d(sum, x, 0x1.258b13b00ec66p-4);
  sum = fused_d(sum, x, -0x1.336ffbef08b8ap-3);
  sum = fused_d(sum, x, 0x1.f6ff204105a04p-3);
  sum = fused_d(sum, x, -0x1.4e102b9cf8513p-2);
  sum = fused_d(sum, x, 0x1.6e9827d229d2dp-3);
  return sum;
}


// P(z)/Q(z) next to tanh(x)/x, z = x² <= 9²: error at most 2.1e-8 of it.
INLINE float tanh_ratio_f(float z) {
  float over = 0x1.cd1abe0000000p-27f;
  over = fused_f(over, z, 0x1.5aa3be0000000p-16f);
  over = fused_f(over, z, 0x1.ca9efa0000000p-9f);
  over = fused_f(over, z, 0x1.121aa00000000p-3f);
  over = fused_f(over, z, 0x1.0000000000000p+0f);
  float under = 0x1.a303e40000000p-21f;
  under = fused_f(under, z, 0x1.5917540000000p-12f);
  under = fused_f(under, z, 0x1.a82f780000000p-6f);
  under = fused_f(under, z, 0x1.de629e0000000p-2f);
  under = fused_f(under, z, 0x1.0000000000000p+0f);
  return over / under;
}
