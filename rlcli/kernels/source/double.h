// What follows is for double; `single.h` undoes and replaces it.
#undef REAL
#undef SUFFIX
#undef FUSED_LANES
#undef FUSED_FEW
#define REAL double
#define SUFFIX _d
#if defined(__AVX512F__)
#define FUSED_LANES(a, b, c) _mm512_fmadd_pd((__m512d)(a), (__m512d)(b), (__m512d)(c))
#elif defined(__AVX2__) && defined(__FMA__)
#define FUSED_LANES(a, b, c) _mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c))
#elif defined(__ARM_NEON)
#define FUSED_LANES(a, b, c) vfmaq_f64((float64x2_t)(c), (float64x2_t)(a), (float64x2_t)(b))
#endif
#if defined(__FMA__)
#define FUSED_FEW(a, b, c) _mm256_fmadd_pd((__m256d)(a), (__m256d)(b), (__m256d)(c))
#endif
