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

// Over the steps that were taken: the mean of each column [columns], the largest of the last, their number; all
// [columns + 2, R]. Columns [columns] are each [S, R]; `accepted` [S, R].
void EXPORT(over_steps)(int64_t columns, int64_t steps, int64_t runs, const float *const *column,
                        const uint8_t *accepted, double *found) {
  for (int64_t r = 0; r < runs; r++) {
    double count, sum, most = -INFINITY;
#define COUNTED(s) ((double)accepted[(s) * runs + r])
    SUM(count, steps, COUNTED);
    for (int64_t c = 0; c < columns; c++) {
      const float *value = column[c];
#define VALUE(s) (COUNTED(s) * (double)value[(s) * runs + r])
      SUM(sum, steps, VALUE);
#undef VALUE
      found[c * runs + r] = sum / count;
    }
#undef COUNTED
    for (int64_t s = 0; s < steps; s++) {
      const double norm = accepted[s * runs + r] ? column[columns - 1][s * runs + r] : -INFINITY;
      most = norm > most || norm != norm ? norm : most;
      if (most != most) break;
    }
    found[columns * runs + r] = most;
    found[(columns + 1) * runs + r] = count;
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
