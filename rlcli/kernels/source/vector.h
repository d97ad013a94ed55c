// Vectors of REAL as wide as the machine's registers, in the compiler's own types; included per precision.
//
// Where there is no fused multiply-add instruction the C library's function gives the same bits.
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifndef VECTOR_BYTES
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define BLOCK_BYTES 64  // buffers are padded to this, whatever the width of a register
#endif

typedef REAL F(vec) __attribute__((vector_size(VECTOR_BYTES), aligned(VECTOR_BYTES)));
typedef REAL F(loose) __attribute__((vector_size(VECTOR_BYTES), aligned(8 < sizeof(REAL) ? 8 : sizeof(REAL)), may_alias));

#define LANES ((int)(BLOCK_BYTES / sizeof(REAL)))
#define WIDTH ((int)(VECTOR_BYTES / sizeof(REAL)))

INLINE F(vec) F(load)(const REAL *from) { return (F(vec))(*(const F(loose) *)from); }
INLINE void F(store)(REAL *to, F(vec) value) { *(F(loose) *)to = (F(loose))value; }
INLINE F(vec) F(spread)(REAL value) { return value - (F(vec)){0}; }

// a b + c, rounded once, in every lane. `fused_lanes` is this precision's instruction, where there is one.
INLINE F(vec) F(fused_vec)(F(vec) a, F(vec) b, F(vec) c) {
#ifdef FUSED_LANES
  return (F(vec))FUSED_LANES(a, b, c);
#else
  F(vec) sum;
  for (int lane = 0; lane < WIDTH; lane++) sum[lane] = F(fused)(a[lane], b[lane], c[lane]);
  return sum;
#endif
}

// FEW numbers, for products that are so narrow: processors do more of such registers at a time than of wide ones.
#define FEW 4
typedef REAL F(few) __attribute__((vector_size(FEW * sizeof(REAL))));
typedef REAL F(loose_few)
    __attribute__((vector_size(FEW * sizeof(REAL)), aligned(8 < sizeof(REAL) ? 8 : sizeof(REAL)), may_alias));

INLINE F(few) F(fused_few)(REAL a, F(few) b, F(few) c) {
#ifdef FUSED_FEW
  return (F(few))FUSED_FEW(a - (F(few)){0}, b, c);
#else
  F(few) sum;
  for (int lane = 0; lane < FEW; lane++) sum[lane] = F(fused)(a, b[lane], c[lane]);
  return sum;
#endif
}
