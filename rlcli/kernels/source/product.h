// Matrix products: every element is one chain of fused multiply-adds over k = 0, 1, ..., included per precision.
//
// Columns are padded to LANES and buffers aligned to BLOCK_BYTES; rows are any number.

#if VECTOR_BYTES == 64
#define ROWS 6
#define PANEL 4  // registers across: 24 sums of 32
#elif VECTOR_BYTES == 32
#define ROWS 6
#define PANEL 2  // 12 sums of 16
#else
#define ROWS 4
#define PANEL (BLOCK_BYTES / VECTOR_BYTES)
#endif

#define FEW_ROWS 12  // registers of FEW numbers

// `rows` x `across` registers of C = start + A B; A's element (r, k) is at a[r along + k down].
INLINE void F(block)(const int rows, const int across, int count, const REAL *a, long along, long down,
                     const REAL *b, long next, const int from, const REAL *bias, REAL *c, long line) {
  F(vec) sum[ROWS][PANEL];
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
    for (int j = 0; j < across; j++)
      sum[r][j] = from == FROM_ZERO   ? (F(vec)){0}
                  : from == FROM_BIAS ? F(load)(bias + j * WIDTH)
                                      : F(load)(c + r * line + j * WIDTH);
  for (int k = 0; k < count; k++) {
    F(vec) right[PANEL];
#pragma GCC unroll 8
    for (int j = 0; j < across; j++) right[j] = F(load)(b + j * WIDTH);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      F(vec) left = F(spread)(a[r * along]);
#pragma GCC unroll 8
      for (int j = 0; j < across; j++) sum[r][j] = F(fused_vec)(left, right[j], sum[r][j]);
    }
    a += down;
    b += next;
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
    for (int j = 0; j < across; j++) F(store)(c + r * line + j * WIDTH, sum[r][j]);
}

INLINE void F(strip)(const int across, int rows, int count, const REAL *a, long along, long down, const REAL *b,
                     long next, const int from, const REAL *bias, REAL *c, long line) {
  int r = 0;
  for (; r + ROWS <= rows; r += ROWS)
    F(block)(ROWS, across, count, a + r * along, along, down, b, next, from, bias, c + r * line, line);
  for (; r + 2 <= rows; r += 2)
    F(block)(2, across, count, a + r * along, along, down, b, next, from, bias, c + r * line, line);
  if (r < rows) F(block)(1, across, count, a + r * along, along, down, b, next, from, bias, c + r * line, line);
}

// C [rows, columns] = start + A [rows, count] B [count, columns]; `columns` is a multiple of LANES.
#define PRODUCT(name, from)                                                                                  \
  static void F(name)(int rows, int columns, int count, const REAL *a, long along, long down, const REAL *b, \
                      long next, const REAL *bias, REAL *c, long line) {                                     \
    int j = 0;                                                                                               \
    for (; j + PANEL * WIDTH <= columns; j += PANEL * WIDTH)                                                 \
      F(strip)(PANEL, rows, count, a, along, down, b + j, next, from, bias + j, c + j, line);                \
    for (; j < columns; j += WIDTH)                                                                          \
      F(strip)(1, rows, count, a, along, down, b + j, next, from, bias + j, c + j, line);                    \
  }
PRODUCT(multiply, FROM_ZERO)
PRODUCT(affine, FROM_BIAS)
PRODUCT(add_product, FROM_TOTAL)
#undef PRODUCT

// `rows` rows of the first FEW columns of C = start + A B, A's element (r, k) at a[r along + k].
INLINE void F(few_block)(const int rows, int count, const REAL *a, long along, const REAL *b, long next,
                         const int from, const REAL *bias, REAL *c, long line) {
  F(few) sum[FEW_ROWS];
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) sum[r] = *(const F(loose_few) *)(from == FROM_BIAS ? bias : c + r * line);
  for (int k = 0; k < count; k++) {
    F(few) right = *(const F(loose_few) *)(b + k * next);
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) sum[r] = F(fused_few)(a[r * along + k], right, sum[r]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; r++) *(F(loose_few) *)(c + r * line) = sum[r];
}

#define FEW_PRODUCT(name, from)                                                                               \
  static void F(name)(int rows, int count, const REAL *a, long along, const REAL *b, long next,               \
                      const REAL *bias, REAL *c, long line) {                                                 \
    int r = 0;                                                                                                \
    for (; r + FEW_ROWS <= rows; r += FEW_ROWS)                                                               \
      F(few_block)(FEW_ROWS, count, a + r * along, along, b, next, from, bias, c + r * line, line);           \
    for (; r < rows; r++) F(few_block)(1, count, a + r * along, along, b, next, from, bias, c + r * line, line); \
  }
FEW_PRODUCT(affine_of_few, FROM_BIAS)
FEW_PRODUCT(add_product_of_few, FROM_TOTAL)
#undef FEW_PRODUCT
