// Means over samples, and over the gradient steps of an update, in float64.
//
// Over samples in the order of sums.h; over steps one after the other, so that no run's depend on how many
// there are beside it.

#ifndef REDUCTIONS_ONCE
#define REDUCTIONS_ONCE
#include "sums.h"

// Of figures [steps, runs, count]: means [runs, count] over the steps that were accepted, largest ones of these,
// and how many there were [runs]. What was not accepted counts 0 times: not a number stays that.
void EXPORT(step_means)(long steps, long runs, long count, const double *figures, const uint8_t *accepted,
                        double *means, double *largest, double *counts) {
  for (long r = 0; r < runs; r++) {
    double *mean = means + r * count, *most = largest + r * count, steps_taken = 0.0;
    for (long k = 0; k < count; k++) mean[k] = 0.0, most[k] = -INFINITY;
    for (long s = 0; s < steps; s++) {
      const double *row = figures + (s * runs + r) * count, taken = accepted[s * runs + r] ? 1.0 : 0.0;
      steps_taken += taken;
      for (long k = 0; k < count; k++) {
        mean[k] += taken * row[k];
        const double value = taken == 1.0 ? row[k] : -INFINITY;
        most[k] = value > most[k] || value != value ? value : most[k];
      }
    }
    for (long k = 0; k < count; k++) mean[k] /= steps_taken;
    counts[r] = steps_taken;
  }
}

// min(cap, exp(a - b)) of a and b [runs, count], with each run's own cap; not a number stays that.
void EXPORT(capped_ratios)(long runs, long count, const float *above, const float *below, const float *caps,
                           float *out) {
  for (long r = 0; r < runs; r++, above += count, below += count, out += count) {
    const float cap = caps[r];
    for (long i = 0; i < count; i++) {
      const float ratio = exp_of_f(above[i] - below[i]);
      out[i] = ratio > cap ? cap : ratio;
    }
  }
}
#endif

// Means [rows] of samples [rows, count].
void EXPORT_REAL(means)(long rows, long count, const REAL *samples, double *out) {
  for (long r = 0; r < rows; r++, samples += count) {
    double sum;
#define SAMPLE(i) ((double)samples[i])
    SUM(sum, count, SAMPLE);
#undef SAMPLE
    out[r] = sum / (double)count;
  }
}
