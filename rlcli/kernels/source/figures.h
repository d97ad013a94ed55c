// Figures of an update besides health: gains of an objective, explained variance, sums of rows, checks.
//
// R rows of B samples; sums in the order of sums.h. Formulas: maths/surrogates.py, maths/health.py.
#pragma once

#include "health.h"

// A factor times an advantage: 0 where the advantage is.
INLINE double advantaged(double factor, double advantage) { return advantage == 0 ? advantage : factor * advantage; }

// A sample's objective at a log-probability, `base` being that of the anchor.
INLINE double objective(int64_t surrogate, double log_prob, double base, double advantage, double clip) {
  if (surrogate == SCORE) return advantaged(log_prob, advantage);
  if (surrogate == SPO) {
    double move = exp_of_d(log_prob - base) - 1, side = advantage < 0 ? -1 : 1;
    return advantaged(side + move * (side - move / (2 * clip)), size_of_d(advantage));
  }
  double gained = advantaged(exp_of_d(log_prob - base), advantage);
  return surrogate == RATIO ? gained : smaller(gained, advantage + clip * size_of_d(advantage));
}

// The mean growth [R] of an objective from log-probabilities `before` to `after`, all [R, B]; `weights` may be
// NULL, `clip` [R] too where it is not read.
void EXPORT(gain)(int64_t runs, int64_t samples, int64_t surrogate, const double *before, const double *after,
                  const double *base, const float *advantages, const float *clip, const float *weights,
                  double *mean) {
  for (int64_t r = 0; r < runs; r++, before += samples, after += samples, base += samples) {
    const double edge = clip ? clip[r] : 0;
    double lane[SUM_LANES] = {0}, grown[STRIP];
    for (int64_t first = 0; first < samples; first += STRIP) {
      const int rows = (int)(samples - first < STRIP ? samples - first : STRIP);
      const int64_t place = r * samples + first;
      for (int s = 0; s < rows; s++) {
        const double advantage = advantages[place + s], weight = weights ? weights[place + s] : 1;
        const double start = objective(surrogate, before[first + s], base[first + s], advantage, edge);
        const double end = objective(surrogate, after[first + s], base[first + s], advantage, edge);
        grown[s] = weight * (end - start);
      }
      add_strip(rows, grown, lane);
    }
    mean[r] = tree_of_lanes(lane) / (double)samples;
  }
}

// 1 - Var[target - prediction]/Var[target] of each row; NaN where targets are constant.
void EXPORT(explained_variance)(int64_t runs, int64_t samples, const float *predictions, const float *targets,
                                double *explained) {
  const double count = (double)samples;
  for (int64_t r = 0; r < runs; r++, predictions += samples, targets += samples) {
    double target, rest, all, left;
#define TARGET(i) ((double)targets[i])
#define REST(i) ((double)targets[i] - (double)predictions[i])
    SUM(target, samples, TARGET);
    SUM(rest, samples, REST);
    target /= count;
    rest /= count;
#define SPREAD(i) ((TARGET(i) - target) * (TARGET(i) - target))
#define SPREAD_REST(i) ((REST(i) - rest) * (REST(i) - rest))
    SUM(all, samples, SPREAD);
    SUM(left, samples, SPREAD_REST);
#undef TARGET
#undef REST
#undef SPREAD
#undef SPREAD_REST
    explained[r] = all > 0 ? 1 - left / all : (double)NAN;
  }
}

// The largest |acted - batch|/(1 + |batch|) of each run: acted [T, R, N D], batch [R, T, N D].
void EXPORT(acting_error)(int64_t steps, int64_t runs, int64_t each, const float *acted, const float *batch,
                          float *error) {
  for (int64_t r = 0; r < runs; r++) {
    float lane[16] = {0}, most = 0;
    for (int64_t t = 0; t < steps; t++) {
      const float *one = acted + (t * runs + r) * each, *two = batch + (r * steps + t) * each;
      for (int64_t i = 0; i < each; i++) {
        float apart = size_of_f(one[i] - two[i]) / (1 + size_of_f(two[i])), before = lane[i & 15];
        lane[i & 15] = apart > before || apart != apart ? apart : before;
      }
    }
    for (int l = 0; l < 16; l++) most = lane[l] > most || lane[l] != lane[l] ? lane[l] : most;
    error[r] = most;
  }
}

// Whether every ratio of a run is exactly 1, or some log-ratio is not finite: [R] of 0 and 1.
void EXPORT(unit_ratios)(int64_t runs, int64_t samples, const float *initial, const float *acting, uint8_t *sound) {
  for (int64_t r = 0; r < runs; r++, initial += samples, acting += samples) {
    int64_t odd = 0, endless = 0;
    for (int64_t i = 0; i < samples; i++) {
      const float apart = initial[i] - acting[i];
      odd += apart != 0;
      endless += !(size_of_f(apart) < INFINITY);
    }
    sound[r] = !odd || endless;
  }
}

// -1/2 ln(1 - clip^2) of each run (maths/surrogates.py).
void EXPORT(clip_budget)(int64_t runs, const float *clip, double *budget) {
  for (int64_t r = 0; r < runs; r++) {
    const double edge = clip[r];
    budget[r] = -0.5 * log1p_of_d(-edge * edge);
  }
}
