// What follows is for float; `double.h` undoes and replaces it.
#undef REAL
#undef SUFFIX
#undef FUSED_LANES
#undef FUSED_FEW
#define REAL float
#define SUFFIX _f
#if defined(__AVX512F__)
#define FUSED_LANES(a, b, c) _mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c))
#elif defined(__AVX2__) && defined(__FMA__)
#define FUSED_LANES(a, b, c) _mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c))
#elif defined(__ARM_NEON)
#define FUSED_LANES(a, b, c) vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b))
#endif
#if defined(__FMA__)
#define FUSED_FEW(a, b, c) _mm_fmadd_ps((__m128)(a), (__m128)(b), (__m128)(c))
#elif defined(__ARM_NEON)
#define FUSED_FEW(a, b, c) FUSED_LANES(a, b, c)
#endif
