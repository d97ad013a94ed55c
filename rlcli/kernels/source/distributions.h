// Policies on the states and actions of a batch in float64, from float32 outputs; R runs of B samples.
//
// Formulas: maths/distributions.py and maths/factored.py. A policy is a row of doubles, columns of B numbers
// each: log-probabilities of the actions [R, B]; then outcomes [R, C, B], which are log-probabilities of each
// choice of each factor, log p and log(1 - p) of each switch, or means; then their probabilities [R, C, B], or
// log sigma and 1/sigma [R, 2, C] of a Gaussian; then mean entropies [R].
#pragma once

#include "sums.h"

#define STRIP 256  // samples at a time; a multiple of SUM_LANES
#define LOG_2PI_d 0x1.d67f1c864beb5p+0

typedef struct {
  int64_t samples, family, outcomes;
  double *log_prob, *logs, *probs, *log_std, *inverse, *entropy;
} Exact;

// Run r of a policy.
static Exact exact(int64_t runs, int64_t samples, int64_t family, int64_t outcomes, double *room, int64_t r) {
  const int64_t all = samples * outcomes, own = family == GAUSSIAN ? 2 * outcomes : all;
  double *logs = room + runs * samples, *rest = logs + runs * all;
  return (Exact){samples,         family,
                 outcomes,        room + r * samples,
                 logs + r * all,  rest + r * own,
                 rest + r * own,  rest + r * own + outcomes,
                 rest + runs * own + r};
}

// Adds a strip of samples to a sum in lanes; strips before it are whole.
INLINE void add_strip(int rows, const double *strip, double *lane) {
  const int whole = rows / SUM_LANES * SUM_LANES;
  for (int s = 0; s < whole; s += SUM_LANES)
    for (int l = 0; l < SUM_LANES; l++) lane[l] += strip[s + l];
  for (int s = whole; s < rows; s++) lane[s - whole] += strip[s];
}

// One factor of `count` choices at `rows` samples: logits are [rows, line], columns of the result `down` apart.
static void read_choices(int rows, int64_t count, const float *logits, int64_t line, int64_t down, double *logs,
                         double *probs, double *entropy) {
  double peak[STRIP], total[STRIP];
  for (int64_t a = 0; a < count; a++)
    for (int s = 0; s < rows; s++) {
      double logit = logits[s * line + a], before = a ? peak[s] : logit;
      logs[a * down + s] = logit;
      peak[s] = logit > before ? logit : before;
    }
  for (int s = 0; s < rows; s++) total[s] = 0;
  for (int64_t a = 0; a < count; a++)
    for (int s = 0; s < rows; s++) {
      double shifted = logs[a * down + s] - peak[s], weight = exp_of_d(shifted);
      logs[a * down + s] = shifted;
      probs[a * down + s] = weight;
      total[s] += weight;
    }
  for (int s = 0; s < rows; s++) {
    peak[s] = log_of_d(total[s]);
    total[s] = 1 / total[s];
  }
  for (int64_t a = 0; a < count; a++)
    for (int s = 0; s < rows; s++) {
      double log_prob = logs[a * down + s] - peak[s], prob = probs[a * down + s] * total[s];
      logs[a * down + s] = log_prob;
      probs[a * down + s] = prob;
      entropy[s] -= prob * log_prob;
    }
}

// A switch at `rows` samples: log p, log(1 - p) and their exponentials.
static void read_switch(int rows, const float *logits, int64_t line, double *on, double *off, double *prob_on,
                        double *prob_off, double *entropy) {
  for (int s = 0; s < rows; s++) {
    double logit = logits[s * line], below = log1p_of_d(exp_of_d(-size_of_d(logit)));
    on[s] = (logit < 0 ? logit : 0) - below;
    off[s] = (logit < 0 ? 0 : -logit) - below;
    prob_on[s] = exp_of_d(on[s]);
    prob_off[s] = exp_of_d(off[s]);
    entropy[s] -= prob_on[s] * on[s] + prob_off[s] * off[s];
  }
}

// A dimension of a Gaussian at `rows` samples.
static void read_mean(int rows, const float *means, const float *moves, int64_t line, double log_std,
                      double inverse, double *mean, double *log_prob) {
  for (int s = 0; s < rows; s++) {
    double z = (moves[s * line] - (double)means[s * line]) * inverse;
    mean[s] = means[s * line];
    log_prob[s] += -0.5 * (z * z + LOG_2PI_d) - log_std;
  }
}

static void read_strip(Exact to, int64_t first, int rows, int64_t factors, const int64_t *sizes, int64_t columns,
                       const float *outputs, const int64_t *choices, const float *moves, double *entropy) {
  const int64_t samples = to.samples;
  double *log_prob = to.log_prob + first;
  outputs += first * columns;
  for (int s = 0; s < rows; s++) log_prob[s] = entropy[s] = 0;
  if (to.family == GAUSSIAN) {
    for (int64_t j = 0; j < columns; j++)
      read_mean(rows, outputs + j, moves + first * columns + j, columns, to.log_std[j], to.inverse[j],
                to.logs + j * samples + first, log_prob);
    return;
  }
  choices += first * factors;
  for (int64_t f = 0, place = first; f < factors; f++, choices++) {
    const int64_t count = to.family == BERNOULLI ? 1 : sizes[f];
    double *logs = to.logs + place, *probs = to.probs + place;
    if (to.family == BERNOULLI) {
      const int64_t half = columns * samples;
      read_switch(rows, outputs, columns, logs, logs + half, probs, probs + half, entropy);
      for (int s = 0; s < rows; s++) log_prob[s] += choices[s * factors] > 0 ? logs[s] : logs[half + s];
    } else {
      read_choices(rows, count, outputs, columns, samples, logs, probs, entropy);
      for (int s = 0; s < rows; s++) {
        const int64_t chosen = choices[s * factors];
        log_prob[s] += chosen >= 0 && chosen < count ? logs[chosen * samples + s] : (double)NAN;
      }
    }
    outputs += count;
    place += count * samples;
  }
}

// Fills a policy. `sizes` [factors] add to `columns`; a switch and a dimension have 1. `choices` are
// [R, B, factors], of a Gaussian `moves` [R, B, columns]; `free` are [R, columns] log sigma of a Gaussian.
void EXPORT(read_policy)(int64_t runs, int64_t samples, int64_t family, int64_t factors, const int64_t *sizes,
                         int64_t columns, const float *outputs, const float *free, const int64_t *choices,
                         const float *moves, double *room) {
  const int64_t outcomes = family == BERNOULLI ? 2 * columns : columns;
  for (int64_t r = 0; r < runs; r++) {
    Exact to = exact(runs, samples, family, outcomes, room, r);
    double lane[SUM_LANES] = {0}, entropy[STRIP], spread = 0;
    for (int64_t j = 0; family == GAUSSIAN && j < columns; j++) {
      to.log_std[j] = free[r * columns + j];
      to.inverse[j] = exp_of_d(-to.log_std[j]);
      spread += to.log_std[j] + 0.5 * (LOG_2PI_d + 1);
    }
    for (int64_t first = 0; first < samples; first += STRIP) {
      const int rows = (int)(samples - first < STRIP ? samples - first : STRIP);
      read_strip(to, first, rows, factors, sizes, columns, outputs + r * samples * columns,
                 choices ? choices + r * samples * factors : NULL, moves ? moves + r * samples * columns : NULL,
                 entropy);
      add_strip(rows, entropy, lane);
    }
    *to.entropy = family == GAUSSIAN ? spread : tree_of_lanes(lane) / (double)samples;
  }
}
