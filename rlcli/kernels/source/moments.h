// Running moments, and what is whitened or scaled by them, in float64 (nets.observations, learner.statistics).
//
// Sums over samples are in the order of sums.h, column by column: eight consecutive rows [8, O] are eight
// lanes. Elementwise expressions are in the torch code's order. Samples are float or double: included twice.

#ifndef MOMENTS_ONCE
#define MOMENTS_ONCE
#include "sums.h"

#define CLIP 10.0
#define VARIANCE_FLOOR 1e-8

// NaN stays NaN.
INLINE double clipped_to(double value, double limit) {
  return value < -limit ? -limit : value > limit ? limit : value;
}

// The lanes [8, O] added by the tree, over `count`: means [O].
static void means_of_lanes(long width, long count, const double *lanes, double *means) {
  for (long o = 0; o < width; o++) {
    double lane[SUM_LANES];
    for (int l = 0; l < SUM_LANES; l++) lane[l] = lanes[l * width + o];
    means[o] = tree_of_lanes(lane) / (double)count;
  }
}

// Rewards [T, R, N]: clipped at `limit`, divided by the running deviation of the return, clipped, as float;
// `variance` [R] is NULL where they are not scaled, `limit` infinite where they are not clipped first.
void EXPORT(scaled_rewards)(long steps, long runs, long envs, const double *rewards, double limit,
                            const double *variance, float *out) {
  for (long t = 0; t < steps; t++)
    for (long r = 0; r < runs; r++, rewards += envs, out += envs) {
      const double deviation = variance ? sqrt(variance[r] + VARIANCE_FLOOR) : 1.0;
      const double last_limit = variance ? CLIP : INFINITY;
      for (long n = 0; n < envs; n++)
        out[n] = (float)clipped_to(clipped_to(rewards[n], limit) / deviation, last_limit);
    }
}

// Indices [rows] as rows of `width` floats, of which one is 1; all are 0 where the index is out of range, and
// `outside` is set.
void EXPORT(one_hot)(long rows, long width, const int64_t *index, float *out, int *outside) {
  memset(out, 0, (size_t)(rows * width) * sizeof(float));
  for (long i = 0; i < rows; i++) {
    if ((uint64_t)index[i] < (uint64_t)width) out[i * width + index[i]] = 1.0f;
    else *outside = 1;
  }
}
#endif

// Moments after samples [R, B, O] too, by the pairwise update (Chan, Golub and LeVeque 1979). `seen` [R], `mean`
// and `variance` [R, O] are advanced in place. `room` holds 8 O doubles for the lanes, and O each for the mean
// and the variance of the samples.
void EXPORT_REAL(advance)(long runs, long count, long width, const REAL *samples, double *seen, double *mean,
                        double *variance, double *room) {
  double *lanes = room, *middle = room + SUM_LANES * width, *apart = middle + width;
  const long block = SUM_LANES * width, all = count * width;
  for (long r = 0; r < runs; r++, samples += all, mean += width, variance += width) {
    memset(lanes, 0, (size_t)block * sizeof(double));
    for (long first = 0; first < all; first += block) {
      const long here = all - first < block ? all - first : block;
      for (long i = 0; i < here; i++) lanes[i] += (double)samples[first + i];
    }
    means_of_lanes(width, count, lanes, middle);
    memset(lanes, 0, (size_t)block * sizeof(double));
    for (long b = 0; b < count; b++) {
      double *lane = lanes + b % SUM_LANES * width;
      for (long o = 0; o < width; o++) {
        const double difference = (double)samples[b * width + o] - middle[o];
        lane[o] += difference * difference;
      }
    }
    means_of_lanes(width, count, lanes, apart);
    const double before = seen[r], added = (double)count, total = before + added;
    for (long o = 0; o < width; o++) {
      const double shift = middle[o] - mean[o];
      const double own = before * variance[o] + added * apart[o];
      variance[o] = (own + shift * shift * (before * added / total)) / total;
      mean[o] = mean[o] + shift * (added / total);
    }
    seen[r] = total;
  }
}

// Observations [R, B, O] less their mean, times 1 / sqrt(variance + 1e-8), both [R, O], clipped, as float. Only
// columns that are `measured` [O] are whitened; all are where it is NULL. `room` holds 2 O doubles.
void EXPORT_REAL(encode)(long runs, long rows, long width, const REAL *observations, const double *mean,
                       const double *variance, const uint8_t *measured, double *room, float *out) {
  double *less = room, *scale = room + width;
  for (long r = 0; r < runs; r++, mean += width, variance += width) {
    for (long o = 0; o < width; o++) {
      const int whitens = !measured || measured[o];
      less[o] = whitens ? mean[o] : 0.0;
      scale[o] = whitens ? 1.0 / sqrt(variance[o] + VARIANCE_FLOOR) : 1.0;
    }
    for (long b = 0; b < rows; b++, observations += width, out += width)
      for (long o = 0; o < width; o++)
        out[o] = (float)clipped_to(((double)observations[o] - less[o]) * scale[o], CLIP);
  }
}
