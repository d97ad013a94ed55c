// One epoch of gradient steps of R runs: minibatches, losses, gradients, clipping by norm, the optimiser.
#pragma once

#include "slopes.h"
#include "whiten.h"

enum { ADAM, RMSPROP, SGD };
#define K3_FACTOR 1.5f
#define NORM_LANES 32

typedef struct {
  Work_f tower[2];
  Room room;
  float *gradient;
} Desk;

// Lays out everything from `base`, or counts the bytes it takes.
static size_t lay_out_desk(const Network *net, const Lesson *lesson, char *base, Desk *desk) {
  size_t used = 0, columns = (size_t)lesson->columns, factors = (size_t)lesson->factors;
  for (int t = 0; t < net->towers; t++)
    used += lay_out_f(net, &net->tower[t], 1, base ? base + used : NULL, &desk->tower[t]);
  Room *room = &desk->room;
  room->inputs = take_f(base, &used, TILE * net->tower[0].inputs);
  float **wide[] = {&room->outputs, &room->by_outputs, &room->anchor_outputs, &room->moves,
                    &room->policy.log_probs, &room->policy.probs, &room->anchor.log_probs, &room->anchor.probs};
  for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) *wide[i] = take_f(base, &used, TILE * columns);
  room->choices = (int32_t *)take_f(base, &used, TILE * (factors + 1));
  room->policy.entropies = take_f(base, &used, TILE * (factors + 1));
  room->anchor.entropies = room->policy.entropies;
  float **narrow[] = {&room->inverse, &room->log_std, &room->anchor_log_std, &room->precision};
  for (size_t i = 0; i < sizeof narrow / sizeof *narrow; i++) *narrow[i] = take_f(base, &used, columns + 1);
  room->by_free = (double *)take_f(base, &used, 2 * SUM_LANES * (columns + 1));
  desk->gradient = take_f(base, &used, net->size);
  return used;
}

// The samples of a tile, from where `order` says; an index outside the run's samples stands for NaN.
static void gather(const Lesson *lesson, int64_t run, int rows, const int64_t *order, int64_t first, int inputs,
                   double mean, double divisor, Room *room) {
  int columns = (int)lesson->columns, factors = (int)lesson->factors;
  size_t start = (size_t)run * lesson->samples;
  for (int s = 0; s < rows; s++) {
    int64_t place = order ? order[s] : first + s;
    if ((uint64_t)place >= (uint64_t)lesson->samples) {
      place = 0;
      room->advantages[s] = room->targets[s] = NAN;
    } else {
      room->advantages[s] = lesson->acts ? lesson->advantages[start + place] : 0;
      room->targets[s] = lesson->judges ? lesson->targets[start + place] : 0;
    }
    size_t at = start + place;
    memcpy(room->inputs + (size_t)s * inputs, lesson->inputs + at * inputs, inputs * sizeof(float));
    room->values[s] = lesson->values ? lesson->values[at] : 0;
    room->weights[s] = lesson->weights ? lesson->weights[at] : 1;
    if (!lesson->acts) continue;
    room->log_anchor[s] = lesson->log_anchor[at];
    for (int f = 0; lesson->choices && f < factors; f++)
      room->choices[f * TILE + s] = (int32_t)lesson->choices[at * factors + f];
    for (int j = 0; lesson->moves && j < columns; j++) room->moves[j * TILE + s] = lesson->moves[at * columns + j];
    for (int j = 0; lesson->penalty && j < columns; j++)
      room->anchor_outputs[j * TILE + s] = lesson->anchor_outputs[at * columns + j];
  }
  if (lesson->whitens && lesson->acts)
    for (int s = 0; s < rows; s++) room->advantages[s] = whitened(room->advantages[s], mean, divisor);
}

static void spreads(const Network *net, const Lesson *lesson, int64_t run, const float *parameters, Room *room) {
  memset(room->by_free, 0, SUM_LANES * (lesson->columns + 1) * sizeof(double));
  for (int j = 0; lesson->family == GAUSSIAN && lesson->acts && j < lesson->columns; j++) {
    room->log_std[j] = parameters[net->free + j];
    room->inverse[j] = exp_of_f(-room->log_std[j]);
    if (!lesson->penalty) continue;
    room->anchor_log_std[j] = lesson->anchor_free[run * lesson->columns + j];
    room->precision[j] = exp_of_f(-room->anchor_log_std[j]);
  }
}

// The policy's outputs and V of a tile, out of the towers; or back, as gradients.
static void from_towers(const Network *net, const Desk *desk, int rows, Room *room) {
  for (int t = 0; t < net->towers; t++) {
    const Work_f *work = &desk->tower[t];
    int policy = (int)net->tower[t].outputs;
    for (int j = 0; j < policy; j++)
      for (int s = 0; s < rows; s++) room->outputs[j * TILE + s] = work->out[s * work->head_line + j];
    if (work->columns > policy)
      for (int s = 0; s < rows; s++) room->found[s] = work->out[s * work->head_line + policy];
  }
}

static void to_towers(const Network *net, Desk *desk, int rows, const Room *room) {
  for (int t = 0; t < net->towers; t++) {
    Work_f *work = &desk->tower[t];
    int policy = (int)net->tower[t].outputs, line = work->head_line;
    memset(work->by_out, 0, (size_t)rows * line * sizeof(float));
    for (int j = 0; j < policy; j++)
      for (int s = 0; s < rows; s++) work->by_out[s * line + j] = room->by_outputs[j * TILE + s];
    if (work->columns > policy)
      for (int s = 0; s < rows; s++) work->by_out[s * line + policy] = room->by_value[s];
  }
}

// The gradient of a minibatch into desk->gradient, sums of figures into desk->room.total.
static void differentiate(const Network *net, const Lesson *lesson, int64_t run, const float *parameters,
                          const float *hyper, const int64_t *order, int64_t first, int count, Desk *desk) {
  Room *room = &desk->room;
  int inputs = (int)net->tower[0].inputs;
  float scale = lesson->sums ? 1.0f : 1.0f / (float)count;
  double mean = 0, divisor = 1;
  if (lesson->whitens && lesson->acts)
    whitening(count, lesson->advantages + run * lesson->samples + (order ? 0 : first), order, &mean, &divisor);
  memset(room->total, 0, sizeof room->total);
  memset(room->figures, 0, sizeof room->figures);
  spreads(net, lesson, run, parameters, room);
  for (int t = 0; t < net->towers; t++) {
    pack_f(&net->tower[t], parameters, 1, &desk->tower[t]);
    no_gradients_f(&net->tower[t], &desk->tower[t]);
  }
  for (int s = 0; s < count; s += TILE) {
    int rows = count - s < TILE ? count - s : TILE;
    gather(lesson, run, rows, order ? order + s : NULL, first + s, inputs, mean, divisor, room);
    for (int t = 0; t < net->towers; t++)
      forward_f(net, &net->tower[t], &desk->tower[t], rows, room->inputs, inputs);
    from_towers(net, desk, rows, room);
    losses(lesson, hyper, rows, scale, room);
    to_towers(net, desk, rows, room);
    for (int t = 0; t < net->towers; t++)
      backward_f(net, &net->tower[t], &desk->tower[t], rows, room->inputs, inputs);
  }
  memset(desk->gradient, 0, net->size * sizeof(float));
  for (int t = 0; t < net->towers; t++) unpack_f(&net->tower[t], &desk->tower[t], desk->gradient);
  for (int j = 0; lesson->family == GAUSSIAN && lesson->acts && j < lesson->columns; j++)
    desk->gradient[net->free + j] = (float)tree_of_lanes(room->by_free + j * SUM_LANES);
}

// The norm in float64: lane i of 32 takes elements i, i + 32, ...
static float norm_of(int64_t count, const float *values) {
  double lane[NORM_LANES] = {0};
  int64_t whole = count / NORM_LANES * NORM_LANES;
  for (int64_t i = 0; i < whole; i += NORM_LANES)
    for (int l = 0; l < NORM_LANES; l++) lane[l] += (double)values[i + l] * (double)values[i + l];
  for (int64_t i = whole; i < count; i++) lane[i - whole] += (double)values[i] * (double)values[i];
  for (int l = SUM_LANES; l < NORM_LANES; l++) lane[l % SUM_LANES] += lane[l];
  return (float)sqrt(tree_of_lanes(lane));
}

// base to a whole power, by squaring.
static double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if (exponent & 1) result *= base;
  return result;
}

// Step `count` of the optimiser down the gradient times `scale` (learner/optimisers.py).
static void step(const Lesson *lesson, const float *hyper, int64_t count, int64_t size, float scale,
                 const float *gradient, float *parameters, float *first, float *second) {
  if (lesson->optimiser == ADAM) {
    float new_first = 1.0f - hyper[BETA1], new_second = 1.0f - hyper[BETA2];
    double root = sqrt(1.0 - power(hyper[BETA2], count));
    float rate = (float)(hyper[RATE] * root / (1.0 - power(hyper[BETA1], count)));
    float floor = (float)(hyper[EPSILON] * root);
    for (int64_t i = 0; i < size; i++) {
      float g = gradient[i] * scale;
      first[i] = fused_f(g - first[i], new_first, first[i]);
      second[i] = fused_f(fused_f(g, g, -second[i]), new_second, second[i]);
      parameters[i] = fused_f(-rate, first[i] / (sqrtf(second[i]) + floor), parameters[i]);
    }
  } else if (lesson->optimiser == RMSPROP) {
    float fresh = 1.0f - hyper[DECAY];
    for (int64_t i = 0; i < size; i++) {
      float g = gradient[i] * scale;
      second[i] = fused_f(fused_f(g, g, -second[i]), fresh, second[i]);
      parameters[i] = fused_f(-hyper[RATE], g / sqrtf(second[i] + hyper[FLOOR]), parameters[i]);
    }
  } else {
    for (int64_t i = 0; i < size; i++)
      parameters[i] = fused_f(-hyper[RATE], gradient[i] * scale, parameters[i]);
  }
}

// The gradient [R, size] of the loss of the whole batch, in the order in which its samples lie.
int EXPORT(gradient)(const Network *net, const Lesson *lesson, int64_t runs, const float *hyper,
                     const float *parameters, int64_t stride, float *gradient) {
  Desk desk;
  char *base = aligned_alloc(BLOCK_BYTES, lay_out_desk(net, lesson, NULL, &desk) + BLOCK_BYTES);
  if (!base) return 1;
  lay_out_desk(net, lesson, base, &desk);
  for (int64_t r = 0; r < runs; r++) {
    differentiate(net, lesson, r, parameters + r * stride, hyper + r * NUMBERS, NULL, 0, (int)lesson->samples,
                  &desk);
    memcpy(gradient + r * net->size, desk.gradient, net->size * sizeof(float));
  }
  free(base);
  return 0;
}

// Gradient steps of every run that is active, which a run ends with `stops` where k3 says so.
//
// parameters begin at r stride, first and second at r moments; steps [R]; active [R]; figures
// [M, R, FIGURES + 2]: means, the norm before clipping, whether the step was taken.
int EXPORT(epoch)(const Network *net, const Lesson *lesson, int64_t runs, const float *hyper, float *parameters,
                  int64_t stride, float *first, float *second, int64_t moments, float *steps, uint8_t *active,
                  double *figures) {
  Desk desk;
  char *base = aligned_alloc(BLOCK_BYTES, lay_out_desk(net, lesson, NULL, &desk) + BLOCK_BYTES);
  if (!base) return 1;
  lay_out_desk(net, lesson, base, &desk);
  int count = (int)(lesson->samples / lesson->minibatches);
  for (int64_t r = 0; r < runs; r++) {
    const float *own = hyper + r * NUMBERS;
    float *moving = parameters + r * stride;
    for (int64_t m = 0; m < lesson->minibatches; m++) {
      double *told = figures + (m * runs + r) * (FIGURES + 2);
      memset(told, 0, (FIGURES + 2) * sizeof(double));
      if (!active[r]) continue;
      const int64_t *order = lesson->order ? lesson->order + r * lesson->samples + m * count : NULL;
      differentiate(net, lesson, r, moving, own, order, m * count, count, &desk);
      for (int k = 0; k < FIGURES; k++) told[k] = tree_of_lanes(desk.room.total[k]) / count;
      told[FIGURES] = norm_of(net->size, desk.gradient);
      if (lesson->stops && !((float)told[K3] <= K3_FACTOR * own[TARGET_KL])) {
        active[r] = 0;
        continue;
      }
      float scale = own[NORM] / ((float)told[FIGURES] + 1e-6f);
      steps[r] += 1.0f;
      step(lesson, own, (int64_t)steps[r], net->size, scale > 1 ? 1 : scale, desk.gradient, moving,
           first + r * moments, second + r * moments);
      told[FIGURES + 1] = 1;
    }
  }
  free(base);
  return 0;
}
