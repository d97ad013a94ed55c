// Pareto k-hat of importance weights: maths/pareto.py, formulas and all; the tail by a heap, not by sorting all.
//
// The tail has M = ceil(min(n/5, 3 sqrt n)) weights. Sums in the order of sums.h.
#pragma once

#include "elementary.h"
#include "sums.h"

#define SHORTEST_TAIL 20
#define RESOLUTION 0x1p-22
#define SMALLEST_QUARTILE 1e-300
#define PRIOR_QUARTILES 3.0
#define PRIOR_SAMPLES 10.0
#define PRIOR_SHAPE 0.5

static int64_t tail_length(int64_t samples) {
  const double part = 0.2 * (double)samples, root = 3 * sqrt((double)samples);
  return (int64_t)ceil(part < root ? part : root);
}

// Whole part of the square root.
static int64_t whole_root(int64_t number) { return (int64_t)sqrt((double)number); }

// Restores the order of a heap, the least at its top, below one place.
static void sift(double *heap, int64_t count, int64_t place) {
  const double value = heap[place];
  for (int64_t child; (child = 2 * place + 1) < count; place = child) {
    child += child + 1 < count && heap[child + 1] < heap[child];
    if (!(heap[child] < value)) break;
    heap[place] = heap[child];
  }
  heap[place] = value;
}

// The `count` largest values, the largest first.
static void largest_of(const double *values, int64_t samples, double *largest, int64_t count) {
  memcpy(largest, values, (size_t)count * sizeof(double));
  for (int64_t place = count / 2 - 1; place >= 0; place--) sift(largest, count, place);
  for (int64_t i = count; i < samples; i++) {
    if (!(largest[0] < values[i])) continue;
    largest[0] = values[i];
    sift(largest, count, 0);
  }
  for (int64_t left = count - 1; left > 0; left--) {
    const double least = largest[0];
    largest[0] = largest[left];
    largest[left] = least;
    sift(largest, left, 0);
  }
}

// k(theta) = mean log(1 - theta x).
static double shape_at(double theta, const double *excess, int64_t count) {
  double sum;
#define GROWN(i) log1p_of_d(-theta * excess[i])
  SUM(sum, count, GROWN);
#undef GROWN
  return sum / (double)count;
}

// The shape of sorted excesses [M] over a threshold, the largest first; `room` has 2 * points.
static double pareto_shape(const double *excess, int64_t count, int64_t points, double *room) {
  double *theta = room, *likelihood = room + points, most = -INFINITY, total = 0, posterior = 0;
  const double length = (double)count, quartile = excess[count - (int64_t)floor(length / 4 + 0.5)];
  const double scale = PRIOR_QUARTILES * (quartile < SMALLEST_QUARTILE ? SMALLEST_QUARTILE : quartile);
  for (int64_t j = 0; j < points; j++) {
    theta[j] = 1 / excess[0] + (1 - sqrt((double)points / ((double)j + 0.5))) / scale;
    const double shape = shape_at(theta[j], excess, count);
    const double fit = length * (log_of_d(-theta[j] / shape) - shape - 1);
    likelihood[j] = size_of_d(fit) < INFINITY ? fit : -INFINITY;
    most = likelihood[j] > most ? likelihood[j] : most;
  }
  for (int64_t j = 0; j < points; j++) {
    const double mass = exp_of_d(likelihood[j] - most);
    total += mass;
    posterior += theta[j] * mass;
  }
  const double found = shape_at(posterior / total, excess, count);
  return (length * found + PRIOR_SAMPLES * PRIOR_SHAPE) / (length + PRIOR_SAMPLES);
}

// The largest of the values below a bound; -infinity where there is none.
static double largest_below(double bound, const double *values, int64_t count) {
  double found = -INFINITY;
  for (int64_t i = 0; i < count; i++) found = values[i] < bound && values[i] > found ? values[i] : found;
  return found;
}

// How many of sorted values, the largest first, differ.
static int64_t different(const double *values, int64_t count) {
  int64_t found = 1;
  for (int64_t i = 1; i < count; i++) found += values[i - 1] - values[i] > RESOLUTION;
  return found;
}

// k-hat [R] of weights exp(log_weights) [R, B]; NaN where the tail is shorter than 20 or mostly of ties.
int EXPORT(khat)(int64_t runs, int64_t samples, const double *log_weights, double *shape) {
  const int64_t count = tail_length(samples), points = 30 + whole_root(count);
  const int short_of_tail = count < SHORTEST_TAIL || count >= samples;
  double *room = short_of_tail ? NULL : malloc((size_t)(count + 2 * points) * sizeof(double));
  if (!short_of_tail && !room) return 1;
  for (int64_t r = 0; r < runs; r++, log_weights += samples) {
    shape[r] = (double)NAN;
    if (short_of_tail) continue;
    double whole;
#define LOG_WEIGHT(i) log_weights[i]
    SUM(whole, samples, LOG_WEIGHT);
#undef LOG_WEIGHT
    if (whole != whole) continue;
    largest_of(log_weights, samples, room, count);
    const double most = room[0], below = largest_below(room[count - 1] - RESOLUTION, log_weights, samples);
    if (4 * different(room, count) < count || below == -INFINITY) continue;
    const double threshold = exp_of_d(below - most);
    for (int64_t i = 0; i < count; i++) room[i] = exp_of_d(room[i] - most) - threshold;
    shape[r] = pareto_shape(room, count, points, room + count);
  }
  free(room);
  return 0;
}
