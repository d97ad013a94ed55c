// Health figures of a policy against a reference: maths/health.py, formulas and all, without its sorting.
//
// Each run goes by strips of samples, sums in lanes (sums.h). Quantiles are found by halving the range of the
// ratios' bit patterns, whose order is that of the ratios; they are exact whatever the order of samples.
#pragma once

#include "distributions.h"

#define CLIP_REFERENCE 0.2
#define KL_ROUNDING 1e-6
#define OUTWARD (1 + 1e-12)
#define LOST 1e-14

enum {  // figures, each [R]
  RATIO_MEAN, RATIO_MIN, RATIO_MAX, CLIP_FRACTION, ESS, KL_REF_PI, KL_REF_PI_MAX, KL_PI_REF, KL_PI_REF_MAX,
  KL_K1, KL_K3, TV_SAMPLED, TV_BOUND, RATIO_P01, RATIO_P50, RATIO_P99, TV, CLIP_OWN, CLIP_ACTIVE
};
enum {  // sums over samples
  OF_WEIGHTS, OF_RATIOS, OF_CLIPPED, OF_SHARES, OF_SQUARES, OF_FORWARD, OF_BACKWARD, OF_K1, OF_K3, OF_APART,
  OF_BOUNDS, OF_TV, OF_OWN, OF_ACTIVE, TOTALS
};

// The larger, or NaN once there is one.
INLINE double larger(double most, double x) { return x > most || x != x ? x : most; }
INLINE double smaller(double least, double x) { return x < least || x != x ? x : least; }

// q - p of an outcome, d = log q - log p, as in maths/small_moves.py.
INLINE double changed(double p, double q, double d) { return d < 1 ? p * expm1_of_d(d) : q - p; }

// Both KLs and (where `tv` is asked for) the total variation of `rows` samples.
static void divergences(Exact p, Exact q, int64_t first, int rows, double *restrict forward,
                        double *restrict backward, double *restrict tv) {
  for (int s = 0; s < rows; s++) forward[s] = backward[s] = tv[s] = 0;
  for (int64_t a = 0; a < p.outcomes; a++) {
    const double *one = p.logs + a * p.samples + first, *two = q.logs + a * p.samples + first;
    if (p.family == GAUSSIAN) {
      const double apart = 2 * (p.log_std[a] - q.log_std[a]);
      const double widening = expm1_of_d(apart) - apart, narrowing = expm1_of_d(-apart) + apart;
      for (int s = 0; s < rows; s++) {
        double move = one[s] - two[s], by_q = move * q.inverse[a], by_p = move * p.inverse[a];
        forward[s] += 0.5 * (widening + by_q * by_q);
        backward[s] += 0.5 * (narrowing + by_p * by_p);
      }
      continue;
    }
    const double *prob = p.probs + a * p.samples + first, *other = q.probs + a * p.samples + first;
    for (int s = 0; s < rows; s++) {
      double d = two[s] - one[s], change = changed(prob[s], other[s], d);
      forward[s] += change - prob[s] * d;
      backward[s] += other[s] * d - change;
      tv[s] += 0.5 * size_of_d(change);
    }
  }
}

INLINE double nonnegative(double kl) {
  double least = kl < 0 ? 0 : kl;
  return kl < -KL_ROUNDING ? (double)NAN : least;
}

// A bound of the total variation for a KL and what rounding took from it.
INLINE double tv_bound(double kl, double tv) {
  double most = kl + LOST * tv;
  double pinsker = sqrt(0.5 * most), bretagnolle_huber = sqrt(-expm1_of_d(-most));
  return OUTWARD * smaller(pinsker, bretagnolle_huber);
}

// A sample's part of a weighted mean: 0 where its weight is.
INLINE double weighed(double weight, double value) { return weight == 0 ? weight : value * weight; }

// What a run's samples are compared by: 1 + `full` figures of them.
typedef struct {
  Exact reference, policy;
  const double *weights;    // [B], or NULL: 1
  const float *advantages;  // [B], or NULL: no clip figures
  double clip, most;        // the largest log-ratio
} Pair;

INLINE double log_ratio(Pair pair, int64_t i) { return pair.policy.log_prob[i] - pair.reference.log_prob[i]; }

static double largest_log_ratio(Pair pair) {
  double lane[SUM_LANES], most = -INFINITY;
  const int64_t samples = pair.policy.samples, whole = samples / SUM_LANES * SUM_LANES;
  for (int l = 0; l < SUM_LANES; l++) lane[l] = -INFINITY;
  for (int64_t i = 0; i < whole; i += SUM_LANES)
    for (int l = 0; l < SUM_LANES; l++) lane[l] = larger(lane[l], log_ratio(pair, i + l));
  for (int64_t i = whole; i < samples; i++) lane[i - whole] = larger(lane[i - whole], log_ratio(pair, i));
  for (int l = 0; l < SUM_LANES; l++) most = larger(most, lane[l]);
  return most;
}

// A strip's part of the sums that every epoch needs; leaves the ratios, KLs and total variations.
static void basic_strip(Pair pair, int64_t first, int rows, double *restrict ratio,
                        double *restrict forward, double *restrict backward, double *restrict tv, double lane[][SUM_LANES]) {
  double part[5][STRIP];
  for (int s = 0; s < rows; s++) {
    double l = log_ratio(pair, first + s), weight = pair.weights ? pair.weights[first + s] : 1;
    double share = exp_of_d(l - pair.most);
    ratio[s] = exp_of_d(l);
    part[OF_WEIGHTS][s] = weight;
    part[OF_RATIOS][s] = weighed(weight, ratio[s]);
    part[OF_CLIPPED][s] = weighed(weight, size_of_d(ratio[s] - 1) > CLIP_REFERENCE ? 1 : 0);
    part[OF_SHARES][s] = weight * share;
    part[OF_SQUARES][s] = weight * share * share;
  }
  for (int i = 0; i < 5; i++) add_strip(rows, part[i], lane[i]);
  divergences(pair.reference, pair.policy, first, rows, forward, backward, tv);
  for (int s = 0; s < rows; s++) {
    forward[s] = nonnegative(forward[s]);
    backward[s] = nonnegative(backward[s]);
  }
  add_strip(rows, forward, lane[OF_FORWARD]);
  add_strip(rows, backward, lane[OF_BACKWARD]);
}

// A strip's part of the other sums.
static void further_strip(Pair pair, int64_t first, int rows, const double *restrict ratio,
                          const double *restrict forward, const double *restrict tv, double lane[][SUM_LANES]) {
  enum { COUNT = TOTALS - OF_K1 };
  double part[COUNT][STRIP];
  for (int s = 0; s < rows; s++) {
    double l = log_ratio(pair, first + s), weight = pair.weights ? pair.weights[first + s] : 1;
    part[OF_K1 - OF_K1][s] = weighed(weight, -l);
    part[OF_K3 - OF_K1][s] = weighed(weight, expm1_of_d(l) - l);
    part[OF_APART - OF_K1][s] = weighed(weight, size_of_d(ratio[s] - 1));
    part[OF_BOUNDS - OF_K1][s] = tv_bound(forward[s], tv[s]);
    part[OF_TV - OF_K1][s] = tv[s];
    part[OF_OWN - OF_K1][s] = part[OF_ACTIVE - OF_K1][s] = 0;
  }
  for (int s = 0; pair.advantages && s < rows; s++) {
    double excess = ratio[s] - 1, weight = pair.weights ? pair.weights[first + s] : 1;
    float advantage = pair.advantages[first + s];
    int above = (excess > pair.clip) & (advantage > 0), below = (excess < -pair.clip) & (advantage < 0);
    part[OF_OWN - OF_K1][s] = weighed(weight, size_of_d(excess) > pair.clip ? 1 : 0);
    part[OF_ACTIVE - OF_K1][s] = weighed(weight, above | below ? 1 : 0);
  }
  for (int i = 0; i < COUNT; i++) add_strip(rows, part[i], lane[OF_K1 + i]);
}

// The value, or 0. As an argument it is read in any case: GCC 12 vectorises sums of what is read under a condition
// wrongly (with AVX it applies one lane's condition to others).
INLINE double where_d(int chosen, double value) { return chosen ? value : 0; }

// The share of weight (or of samples) whose ratio is at most `value`.
static double share_below(int64_t samples, const double *ratio, const double *weights, double total, double value) {
  double sum;
  if (!weights) {
    int64_t count = 0;
    for (int64_t i = 0; i < samples; i++) count += ratio[i] <= value;
    return (double)count;
  }
#define BELOW(i) where_d(ratio[i] <= value, weights[i])
  SUM(sum, samples, BELOW);
#undef BELOW
  return sum / total;
}

// The smallest ratio with at least a share `level` of the samples, or of their weight, at or below it.
static double quantile(int64_t samples, const double *ratio, const double *weights, double total, double level,
                       double least, double most) {
  const double enough = weights ? level : ceil(level * (double)samples);
  uint64_t low = least == least ? to_bits_d(least) : 0, high = to_bits_d(most == most ? most : (double)INFINITY);
  if (share_below(samples, ratio, weights, total, from_bits_d(high)) < enough) return NAN;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (share_below(samples, ratio, weights, total, from_bits_d(middle)) < enough) low = middle + 1;
    else high = middle;
  }
  return from_bits_d(low);
}

static void further_figures(int64_t samples, const double *ratio, const double *forward, const double *backward,
                            const double *weights, const double *sum, double *to, int64_t runs) {
  double least = INFINITY, most = -INFINITY, most_forward = 0, most_backward = 0;
  for (int64_t i = 0; i < samples; i++) {
    least = smaller(least, ratio[i]);
    most = larger(most, ratio[i]);
    most_forward = larger(most_forward, forward[i]);
    most_backward = larger(most_backward, backward[i]);
  }
  const double mass = weights ? sum[OF_WEIGHTS] : (double)samples, count = (double)samples;
  to[RATIO_MEAN * runs] = sum[OF_RATIOS] / mass;
  to[RATIO_MIN * runs] = least;
  to[RATIO_MAX * runs] = most;
  to[KL_REF_PI_MAX * runs] = most_forward;
  to[KL_PI_REF_MAX * runs] = most_backward;
  to[KL_K1 * runs] = sum[OF_K1] / mass;
  to[KL_K3 * runs] = sum[OF_K3] / mass;
  to[TV_SAMPLED * runs] = 0.5 * (sum[OF_APART] / mass);
  to[TV_BOUND * runs] = sum[OF_BOUNDS] / count;
  to[RATIO_P01 * runs] = quantile(samples, ratio, weights, mass, 0.01, least, most);
  to[RATIO_P50 * runs] = quantile(samples, ratio, weights, mass, 0.5, least, most);
  to[RATIO_P99 * runs] = quantile(samples, ratio, weights, mass, 0.99, least, most);
  to[TV * runs] = sum[OF_TV] / count;
  to[CLIP_OWN * runs] = sum[OF_OWN] / mass;
  to[CLIP_ACTIVE * runs] = sum[OF_ACTIVE] / mass;
}

// Every figure of one run, or only those of an epoch; `room` [3, B] keeps ratios and KLs for the former.
static void compare_run(Pair pair, int full, int one_factor, double *room, double *to, int64_t runs) {
  const int64_t samples = pair.policy.samples;
  double lane[TOTALS][SUM_LANES] = {{0}}, sum[TOTALS], kept[3][STRIP], tv[STRIP];
  pair.most = largest_log_ratio(pair);
  for (int64_t first = 0; first < samples; first += STRIP) {
    const int rows = (int)(samples - first < STRIP ? samples - first : STRIP);
    double *ratio = full ? room + first : kept[0], *forward = full ? ratio + samples : kept[1];
    double *backward = full ? forward + samples : kept[2];
    basic_strip(pair, first, rows, ratio, forward, backward, tv, lane);
    if (!full) continue;
    for (int s = 0; !one_factor && s < rows; s++) tv[s] = 0;
    further_strip(pair, first, rows, ratio, forward, tv, lane);
  }
  for (int i = 0; i < TOTALS; i++) sum[i] = tree_of_lanes(lane[i]);
  const double mass = pair.weights ? sum[OF_WEIGHTS] : (double)samples;
  const double share = sum[OF_SHARES] * sum[OF_SHARES] / (mass * sum[OF_SQUARES]);
  to[CLIP_FRACTION * runs] = sum[OF_CLIPPED] / mass;
  to[ESS * runs] = share > 1 ? 1 : share;
  to[KL_REF_PI * runs] = sum[OF_FORWARD] / (double)samples;
  to[KL_PI_REF * runs] = sum[OF_BACKWARD] / (double)samples;
  if (full) further_figures(samples, room, room + samples, room + 2 * samples, pair.weights, sum, to, runs);
}

// Figures [FIGURES, R] of policies as `read_policy` fills them. `weights` [R, B], `advantages` [R, B] with
// `clip` [R] may be NULL. Total variation is known where there is one factor of choices.
int EXPORT(compare)(int64_t runs, int64_t samples, int64_t family, int64_t outcomes, int64_t one_factor,
                    double *reference, double *policy, const double *weights, const float *advantages,
                    const float *clip, int64_t full, double *figures) {
  double *room = full ? malloc((size_t)(3 * samples) * sizeof(double)) : NULL;
  if (full && !room) return 1;
  for (int64_t r = 0; r < runs; r++) {
    Pair pair = {exact(runs, samples, family, outcomes, reference, r),
                 exact(runs, samples, family, outcomes, policy, r), weights ? weights + r * samples : NULL,
                 advantages ? advantages + r * samples : NULL, clip ? clip[r] : 0, 0};
    compare_run(pair, (int)full, (int)one_factor, room, figures + r, runs);
  }
  free(room);
  return 0;
}

// The exact KL(reference||policy), or KL(policy||reference), as its mean [R].
void EXPORT(mean_kl)(int64_t runs, int64_t samples, int64_t family, int64_t outcomes, double *reference,
                     double *policy, int64_t backward, double *mean) {
  for (int64_t r = 0; r < runs; r++) {
    Exact p = exact(runs, samples, family, outcomes, reference, r);
    Exact q = exact(runs, samples, family, outcomes, policy, r);
    double lane[SUM_LANES] = {0}, to[STRIP], back[STRIP], tv[STRIP];
    for (int64_t first = 0; first < samples; first += STRIP) {
      const int rows = (int)(samples - first < STRIP ? samples - first : STRIP);
      divergences(p, q, first, rows, to, back, tv);
      add_strip(rows, backward ? back : to, lane);
    }
    mean[r] = tree_of_lanes(lane) / (double)samples;
  }
}
