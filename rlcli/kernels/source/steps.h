// Figures of an update's gradient steps, and of the step from the first parameters to the last.
//
// R runs, S steps. Sums in the order of sums.h.
#pragma once

#include "sums.h"

enum { POLICY_LOSS, VALUE_LOSS, ENTROPY_MEAN, PENALTY_MEAN, TOTAL_LOSS, STEP_NORM, STEP_COLUMNS };

// Losses [STEP_COLUMNS, S, R] and whether each step was taken [S, R], from the figures of `epoch` [S, R, 7].
// `coefficients` are those of the value loss and of the entropy, [2, R].
void EXPORT(step_losses)(int64_t steps, int64_t runs, const double *figures, const float *coefficients,
                         float *losses, uint8_t *accepted) {
  const int64_t all = steps * runs;
  for (int64_t i = 0; i < all; i++, figures += 7) {
    const float policy = -(float)figures[0], value = (float)figures[1], entropy = (float)figures[2];
    const float penalty = (float)figures[3], by_value = coefficients[i % runs] * value;
    const float by_entropy = coefficients[runs + i % runs] * entropy;
    losses[POLICY_LOSS * all + i] = policy;
    losses[VALUE_LOSS * all + i] = value;
    losses[ENTROPY_MEAN * all + i] = entropy;
    losses[PENALTY_MEAN * all + i] = penalty;
    losses[TOTAL_LOSS * all + i] = policy + by_value - by_entropy + penalty;
    losses[STEP_NORM * all + i] = (float)figures[5];
    accepted[i] = figures[6] > 0;
  }
}

typedef struct {
  int64_t columns, steps, epochs, settings;
  const float *const *column;     // each [S, R]; the last is the norm
  const uint8_t *accepted;        // [S, R]
  const uint8_t *const *epoch;    // each [R]: whether the run was active when the epoch began
  const double *spent, *budget;   // [R]
  const float *const *setting;    // each [R]
} Steps;

INLINE double finite_or_nan(double x) { return size_of_d(x) < INFINITY ? x : (double)NAN; }

// The mean of each column over the steps that were taken, the largest norm, the number of these steps and of
// epochs, the share of the budget that is spent, and settings as they are: [columns + 4 + settings, R]. What is
// not finite is NaN.
void EXPORT(step_figures)(const Steps *of, int64_t runs, double *found) {
  for (int64_t r = 0; r < runs; r++) {
    double count, sum, most = -INFINITY, epochs = 0, *to = found + r;
#define COUNTED(s) ((double)of->accepted[(s) * runs + r])
    SUM(count, of->steps, COUNTED);
    for (int64_t c = 0; c < of->columns; c++, to += runs) {
      const float *value = of->column[c];
#define VALUE(s) (COUNTED(s) * (double)value[(s) * runs + r])
      SUM(sum, of->steps, VALUE);
#undef VALUE
      *to = finite_or_nan(sum / count);
    }
#undef COUNTED
    const float *norm = of->column[of->columns - 1];
    for (int64_t s = 0; s < of->steps && most == most; s++)
      if (of->accepted[s * runs + r] && !(norm[s * runs + r] <= most)) most = norm[s * runs + r];
    for (int64_t e = 0; e < of->epochs; e++) epochs += of->epoch[e][r];
    to[0] = finite_or_nan(most);
    to[runs] = count;
    to[2 * runs] = epochs;
    to[3 * runs] = finite_or_nan(of->spent[r] / of->budget[r]);
    for (int64_t i = 0; i < of->settings; i++) to[(4 + i) * runs] = finite_or_nan(of->setting[i][r]);
  }
}

// The sum over parameters of gradient times change [R]: those of `size` from `first`, all in the declared order.
// gradient [R, size]; before and after [R, P]; `order` [P] are places, or NULL.
void EXPORT(first_order)(int64_t runs, int64_t parameters, int64_t first, int64_t size, const float *gradient,
                         const float *before, const float *after, const int64_t *order, double *room,
                         double *gain) {
  for (int64_t r = 0; r < runs; r++, gradient += size, before += parameters, after += parameters) {
    memset(room, 0, (size_t)parameters * sizeof(double));
    for (int64_t i = 0; i < size; i++) {
      const float move = after[first + i] - before[first + i];
      room[first + i] = (double)gradient[i] * (double)move;
    }
    if (order) {
#define IN_ORDER(i) room[order[i]]
      SUM(gain[r], parameters, IN_ORDER);
#undef IN_ORDER
    } else {
#define AS_IT_LIES(i) room[i]
      SUM(gain[r], parameters, AS_IT_LIES);
#undef AS_IT_LIES
    }
  }
}

// Whether all of a run's numbers are finite [R]: number i of run r is at r * run + i * next.
void EXPORT(all_finite)(int64_t runs, int64_t count, const float *values, int64_t run, int64_t next,
                        uint8_t *finite) {
  for (int64_t r = 0; r < runs; r++, values += run) {
    int64_t endless = 0;
    if (next == 1)
      for (int64_t i = 0; i < count; i++) endless += !(size_of_f(values[i]) < INFINITY);
    else
      for (int64_t i = 0; i < count; i++) endless += !(size_of_f(values[i * next]) < INFINITY);
    finite[r] = !endless;
  }
}
