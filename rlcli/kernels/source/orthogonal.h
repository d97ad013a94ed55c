// Fresh parameters: uniform ones, and orthogonal matrices (Saxe, McClelland and Ganguli 2014).
//
// An orthogonal matrix that is uniform over all (Haar) is the Q of a matrix of normal numbers = Q R with a
// positive diagonal of R (Mezzadri 2007). It is found column by column by the modified Gram-Schmidt method,
// twice, which leaves Q's columns orthogonal to double precision (Giraud, Langou and Rozloznik 2005).
#define DOUBLE_LANES 8

// Element `at` and on, of a stream: uniform numbers, `count` of them.
static void uniform_from(uint64_t key, int64_t at, int64_t count, double *to) {
  double made[AT_ONCE];
  for (int64_t done = 0; done < count;) {
    const int64_t skipped = (at + done) % 4;
    const int64_t here = count - done < AT_ONCE - skipped ? count - done : AT_ONCE - skipped;
    uniform_numbers(key, (uint64_t)(at + done) / 4, made);
    memcpy(to + done, made + skipped, (size_t)here * sizeof(double));
    done += here;
  }
}

INLINE double dot(int64_t count, const double *a, const double *b) {
  double sum[DOUBLE_LANES] = {0};
  int64_t i = 0;
  for (; i + DOUBLE_LANES <= count; i += DOUBLE_LANES)
    for (int lane = 0; lane < DOUBLE_LANES; lane++) sum[lane] = fused_d(a[i + lane], b[i + lane], sum[lane]);
  for (int lane = 0; i + lane < count; lane++) sum[lane] = fused_d(a[i + lane], b[i + lane], sum[lane]);
  for (int half = DOUBLE_LANES / 2; half; half /= 2)
    for (int lane = 0; lane < half; lane++) sum[lane] += sum[lane + half];
  return sum[0];
}

// Vectors [few, many], one after another, made orthonormal in place.
static void orthonormalise(int64_t few, int64_t many, double *vectors) {
  for (int64_t j = 0; j < few; j++) {
    double *own = vectors + j * many;
    for (int twice = 0; twice < 2; twice++) {
      for (int64_t i = 0; i < j; i++) {
        const double *other = vectors + i * many, along = -dot(many, other, own);
        for (int64_t k = 0; k < many; k++) own[k] = fused_d(along, other[k], own[k]);
      }
      const double length = sqrt(dot(many, own, own));
      if (length > 0)
        for (int64_t k = 0; k < many; k++) own[k] /= length;
    }
  }
}

// A matrix [inputs, outputs] times `gain`, of which the shorter side is orthonormal, from elements `at` and on of
// a stream; `room` [inputs, outputs].
void EXPORT(orthogonal)(uint64_t key, int64_t at, int64_t inputs, int64_t outputs, double gain, double *room,
                        float *to) {
  const int64_t few = inputs < outputs ? inputs : outputs, many = inputs < outputs ? outputs : inputs;
  uniform_from(key, at, inputs * outputs, room);
  for (int64_t i = 0; i < inputs * outputs; i++) room[i] = normal_of(room[i]);
  orthonormalise(few, many, room);
  for (int64_t i = 0; i < inputs; i++)
    for (int64_t o = 0; o < outputs; o++)
      to[i * outputs + o] = (float)(gain * (inputs < outputs ? room[i * many + o] : room[o * many + i]));
}

// Numbers between -bound and bound.
void EXPORT(between)(uint64_t key, int64_t at, int64_t count, double bound, double *room, float *to) {
  uniform_from(key, at, count, room);
  for (int64_t i = 0; i < count; i++) to[i] = (float)((2.0 * room[i] - 1.0) * bound);
}
