// A tile of samples through the losses of a gradient step: figures of each, and gradients by the outputs.
//
// Everything lies column by column, [columns, TILE], so that what follows works on long rows of samples.
// Formulas: maths/surrogates.py, maths/distributions.py, maths/factored.py, maths/small_moves.py.
#pragma once

#include "sums.h"

enum { CATEGORICAL, BERNOULLI, GAUSSIAN };                  // families; several factors of the first, too
enum { CLIPPED, RATIO, SCORE, SPO };                        // surrogates
enum { NO_PENALTY, FROM_ANCHOR, TO_ANCHOR };                // KL(anchor||pi), KL(pi||anchor)
enum {                                                      // hyperparameters of a run
  CLIP, ENTROPY, VALUE, NORM, RATE, BETA1, BETA2, EPSILON, DECAY, FLOOR, BETA, TARGET_KL, VALUE_CLIP, NUMBERS
};
enum { OBJECTIVE, ERROR, SPREAD, PENALTY, K3, FIGURES };    // sums over samples

#define LOG_2PI 1.8378770664093453f

// What is learned from, as Python describes it; pointers to all runs, [R, B, ...].
typedef struct {
  int64_t samples, minibatches, columns, factors;
  int64_t family, surrogate, penalty, optimiser;
  int64_t sums, whitens, acts, judges;  // acts: there is a policy; judges: there is a value function
  int64_t stops, entropies;
  const int64_t *sizes;  // [factors]
  const float *inputs, *advantages, *targets, *log_anchor, *values, *weights, *anchor_outputs, *anchor_free;
  const int64_t *choices;  // [R, B, factors]
  const float *moves;      // [R, B, columns]
  const int64_t *order;    // [R, B], or NULL: as they lie
} Lesson;

// Outputs of a policy read as a distribution, [columns, TILE]; of a Gaussian: means, and z of the actions.
typedef struct {
  float *log_probs, *probs, *entropies;  // entropies [factors, TILE]
} Read;

typedef struct {
  float *inputs, *outputs, *by_outputs, *anchor_outputs;
  int32_t *choices;
  float *moves;
  Read policy, anchor;
  float advantages[TILE], targets[TILE], log_anchor[TILE], values[TILE], weights[TILE];
  float found[TILE], by_value[TILE], log_prob[TILE], entropy[TILE], kl[TILE], by_log_prob[TILE], by_entropy[TILE];
  float figures[FIGURES][TILE];
  double total[FIGURES][SUM_LANES];
  double *by_free;  // [columns, SUM_LANES]
  float *inverse, *log_std, *anchor_log_std, *precision;
} Room;

// log-probabilities and probabilities of one factor at `rows` samples, its entropy, and (unless NULL) the
// log-probability of what was chosen added to `log_prob`.
static void read_factor(int rows, int first, int count, const float *outputs, const int32_t *choices, Read read,
                        float *entropy, float *log_prob) {
  float peak[TILE], total[TILE];
  const float *logits = outputs + first * TILE;
  float *logs = read.log_probs + first * TILE, *probs = read.probs + first * TILE;
  for (int s = 0; s < rows; s++) peak[s] = logits[s];
  for (int a = 1; a < count; a++)
    for (int s = 0; s < rows; s++) peak[s] = logits[a * TILE + s] > peak[s] ? logits[a * TILE + s] : peak[s];
  for (int s = 0; s < rows; s++) total[s] = 0;
  for (int a = 0; a < count; a++)
    for (int s = 0; s < rows; s++) {
      float shifted = logits[a * TILE + s] - peak[s], weight = exp_of_f(shifted);
      logs[a * TILE + s] = shifted;
      probs[a * TILE + s] = weight;
      total[s] += weight;
    }
  for (int s = 0; s < rows; s++) {
    peak[s] = log_of_f(total[s]);
    total[s] = 1 / total[s];
    entropy[s] = 0;
  }
  for (int a = 0; a < count; a++)
    for (int s = 0; s < rows; s++) {
      float log_prob_of_a = logs[a * TILE + s] - peak[s], prob = probs[a * TILE + s] * total[s];
      logs[a * TILE + s] = log_prob_of_a;
      probs[a * TILE + s] = prob;
      // A probability of 0 has a finite logarithm: logits are finite, or everything is NaN.
      entropy[s] = fused_f(-prob, log_prob_of_a, entropy[s]);
    }
  if (!log_prob) return;
  for (int a = 0; a < count; a++)
    for (int s = 0; s < rows; s++) log_prob[s] += choices[s] == a ? logs[a * TILE + s] : 0.0f;
}

// Switches: log_probs has log p, probs p; log(1 - p) is log p - logit.
static void read_switches(int rows, int columns, const float *outputs, const int32_t *choices, Read read,
                          float *entropy, float *log_prob) {
  for (int s = 0; s < rows; s++) entropy[s] = 0;
  for (int j = 0; j < columns; j++)
    for (int s = 0; s < rows; s++) {
      int i = j * TILE + s;
      float logit = outputs[i], size = logit < 0 ? -logit : logit, below = log1p_of_f(exp_of_f(-size));
      float on = (logit < 0 ? logit : 0.0f) - below, off = (logit < 0 ? 0.0f : -logit) - below;
      float p = exp_of_f(on), q = exp_of_f(off);
      read.log_probs[i] = on;
      read.probs[i] = p;
      entropy[s] -= fused_f(p, on, q * off);
      if (log_prob) log_prob[s] += choices[i] > 0 ? on : off;
    }
}

static void read_means(const Lesson *lesson, int rows, const float *means, Room *room) {
  int columns = (int)lesson->columns;
  float spread = 0;
  for (int j = 0; j < columns; j++) spread += room->log_std[j] + 0.5f * (LOG_2PI + 1.0f);
  for (int s = 0; s < rows; s++) room->entropy[s] = spread;
  for (int j = 0; j < columns; j++)
    for (int s = 0; s < rows; s++) {
      float z = (room->moves[j * TILE + s] - means[j * TILE + s]) * room->inverse[j];
      room->policy.probs[j * TILE + s] = z;
      room->log_prob[s] += -0.5f * (z * z + LOG_2PI) - room->log_std[j];
    }
}

// log-probabilities of the actions, entropies.
static void read_policy(const Lesson *lesson, int rows, Room *room) {
  for (int s = 0; s < rows; s++) room->log_prob[s] = room->entropy[s] = 0;
  if (lesson->family == GAUSSIAN) {
    read_means(lesson, rows, room->outputs, room);
  } else if (lesson->family == BERNOULLI) {
    read_switches(rows, (int)lesson->columns, room->outputs, room->choices, room->policy, room->entropy,
                  room->log_prob);
  } else {
    int first = 0;
    for (int f = 0; f < lesson->factors; f++) {
      float *entropy = room->policy.entropies + f * TILE;
      read_factor(rows, first, (int)lesson->sizes[f], room->outputs, room->choices + f * TILE, room->policy,
                  entropy, room->log_prob);
      for (int s = 0; s < rows; s++) room->entropy[s] += entropy[s];
      first += (int)lesson->sizes[f];
    }
  }
}

// Adds a row of samples to a sum in lanes; rows before it are whole tiles.
INLINE void add_lanes(int rows, const float *row, double *lane) {
  int whole = rows / SUM_LANES * SUM_LANES;
  for (int s = 0; s < whole; s += SUM_LANES)
    for (int l = 0; l < SUM_LANES; l++) lane[l] += row[s + l];
  for (int s = whole; s < rows; s++) lane[s - whole] += row[s];
}

INLINE float change(float p, float q, float d) { return d < 1 ? p * expm1_of_f(d) : q - p; }

// KL(p||q) of one factor of categories added to kl, and p's own part of the gradient where it is the policy.
INLINE void diverge(int rows, int first, int count, Read p, Read q, float *kl) {
  for (int a = first; a < first + count; a++)
    for (int s = 0; s < rows; s++) {
      int i = a * TILE + s;
      float d = q.log_probs[i] - p.log_probs[i];
      kl[s] += change(p.probs[i], q.probs[i], d) - p.probs[i] * d;
    }
}

// The exact KL of each sample, and scale times its gradient added to by_outputs (and by_free of a Gaussian).
static void penalise(const Lesson *lesson, int rows, float scale, Room *room) {
  int backward = lesson->penalty == TO_ANCHOR, columns = (int)lesson->columns;
  float *kl = room->kl;
  for (int s = 0; s < rows; s++) kl[s] = 0;
  if (lesson->family == GAUSSIAN) {
    for (int j = 0; j < columns; j++) {
      float apart = 2.0f * (backward ? room->log_std[j] - room->anchor_log_std[j]
                                     : room->anchor_log_std[j] - room->log_std[j]);
      float widening = expm1_of_f(apart), inverse = backward ? room->precision[j] : room->inverse[j];
      float by_free[TILE];
      for (int s = 0; s < rows; s++) {
        int i = j * TILE + s;
        float distance = (room->outputs[i] - room->anchor_outputs[i]) * inverse;
        kl[s] += 0.5f * ((widening - apart) + distance * distance);
        room->by_outputs[i] += scale * distance * inverse;
        by_free[s] = backward ? scale * widening : -(scale * (widening + distance * distance));
      }
      add_lanes(rows, by_free, room->by_free + j * SUM_LANES);
    }
  } else if (lesson->family == BERNOULLI) {
    for (int j = 0; j < columns; j++)
      for (int s = 0; s < rows; s++) {
        int i = j * TILE + s;
        float on = room->policy.probs[i], other = room->anchor.probs[i];
        float log_on = room->policy.log_probs[i], other_log = room->anchor.log_probs[i];
        float log_off = log_on - room->outputs[i], other_log_off = other_log - room->anchor_outputs[i];
        float off = exp_of_f(log_off), other_off = exp_of_f(other_log_off);
        float to = change(other, on, log_on - other_log) - other * (log_on - other_log) +
                   (change(other_off, off, log_off - other_log_off) - other_off * (log_off - other_log_off));
        float back = change(on, other, other_log - log_on) - on * (other_log - log_on) +
                     (change(off, other_off, other_log_off - log_off) - off * (other_log_off - log_off));
        kl[s] += backward ? back : to;
        room->by_outputs[i] += scale * (backward ? on * off * (room->outputs[i] - room->anchor_outputs[i])
                                                 : on - other);
      }
  } else {
    int first = 0;
    for (int f = 0; f < lesson->factors; f++) {
      int count = (int)lesson->sizes[f];
      float own[TILE];
      for (int s = 0; s < rows; s++) own[s] = 0;
      if (backward) diverge(rows, first, count, room->policy, room->anchor, own);
      else diverge(rows, first, count, room->anchor, room->policy, own);
      for (int a = first; a < first + count; a++)
        for (int s = 0; s < rows; s++) {
          int i = a * TILE + s;
          float p = room->policy.probs[i];
          float slope = backward ? p * (room->policy.log_probs[i] - room->anchor.log_probs[i] - own[s])
                                 : p - room->anchor.probs[i];
          room->by_outputs[i] = fused_f(scale, slope, room->by_outputs[i]);
        }
      for (int s = 0; s < rows; s++) kl[s] += own[s];
      first += count;
    }
  }
}

// The gradient by the outputs, from those by log-probability and entropy.
static void pull_back(const Lesson *lesson, int rows, Room *room) {
  const float *taken = room->by_log_prob;
  int columns = (int)lesson->columns;
  if (lesson->family == GAUSSIAN) {
    for (int j = 0; j < columns; j++) {
      float by_free[TILE];
      for (int s = 0; s < rows; s++) {
        float z = room->policy.probs[j * TILE + s];
        room->by_outputs[j * TILE + s] = taken[s] * z * room->inverse[j];
        by_free[s] = fused_f(taken[s], fused_f(z, z, -1.0f), room->by_entropy[s]);
      }
      add_lanes(rows, by_free, room->by_free + j * SUM_LANES);
    }
  } else if (lesson->family == BERNOULLI) {
    for (int i = 0; i < columns * TILE; i += TILE)
      for (int s = 0; s < rows; s++) {
        float on = room->policy.probs[i + s], off = exp_of_f(room->policy.log_probs[i + s] - room->outputs[i + s]);
        float slope = taken[s] * (room->choices[i + s] > 0 ? off : -on);
        room->by_outputs[i + s] = fused_f(-room->by_entropy[s], on * off * room->outputs[i + s], slope);
      }
  } else {
    int first = 0;
    for (int f = 0; f < lesson->factors; f++) {
      const float *entropy = room->policy.entropies + f * TILE;
      const int32_t *choices = room->choices + f * TILE;
      for (int a = 0; a < lesson->sizes[f]; a++)
        for (int s = 0; s < rows; s++) {
          int i = (first + a) * TILE + s;
          float p = room->policy.probs[i];
          float slope = fused_f(p, -taken[s], choices[s] == a ? taken[s] : 0.0f);
          room->by_outputs[i] = fused_f(-room->by_entropy[s], p * (room->policy.log_probs[i] + entropy[s]), slope);
        }
      first += (int)lesson->sizes[f];
    }
  }
}

// factor * value, 0 where the value is 0 even if the factor has overflowed (maths/products.py).
INLINE float times(float factor, float value) { return value == 0 ? value : factor * value; }

// The objective of each sample and its slope by the log-probability, into by_log_prob times -scale.
static void surrogate(const Lesson *lesson, int rows, float clip, float scale, Room *room) {
  float *objective = room->figures[OBJECTIVE];
  for (int s = 0; s < rows; s++) {
    float log_ratio = room->log_prob[s] - room->log_anchor[s], advantage = room->advantages[s];
    room->figures[K3][s] = expm1_of_f(log_ratio) - log_ratio;
    float weighted = times(exp_of_f(log_ratio), advantage), value = weighted, slope = weighted;
    if (lesson->surrogate == CLIPPED) {
      float limit = fused_f(clip, advantage < 0 ? -advantage : advantage, advantage);
      value = weighted < limit || weighted != weighted ? weighted : limit;
      slope = weighted >= limit ? 0.0f : weighted;
    } else if (lesson->surrogate == SCORE) {
      value = times(room->log_prob[s], advantage);
      slope = advantage;
    } else if (lesson->surrogate == SPO) {
      float ratio = exp_of_f(log_ratio), move = ratio - 1.0f, size = advantage < 0 ? -advantage : advantage;
      float side = advantage < 0 ? -1.0f : 1.0f;
      value = times(side + move * (side - move / (2.0f * clip)), size);
      slope = times(ratio * (side - move / clip), size);
    }
    objective[s] = room->weights[s] * value;
    room->by_log_prob[s] = room->weights[s] * slope * -scale;
  }
}

static void value_loss(const Lesson *lesson, int rows, float clip, float scale, Room *room) {
  float *error = room->figures[ERROR];
  for (int s = 0; s < rows; s++) {
    float apart = room->found[s] - room->targets[s], loss = apart * apart, slope = 2.0f * apart;
    if (lesson->values) {
      float move = room->found[s] - room->values[s];
      float inside = move < -clip ? -clip : move > clip ? clip : move;
      float held = room->values[s] + inside - room->targets[s], other = held * held;
      slope = other > loss && (move > clip || move < -clip) ? 0.0f : slope;
      loss = other > loss || other != other ? other : loss;
    }
    error[s] = loss;
    room->by_value[s] = slope * scale;
  }
}

// A tile: figures added to room->total, gradients by outputs and values.
static void losses(const Lesson *lesson, const float *hyper, int rows, float scale, Room *room) {
  if (lesson->acts) {
    read_policy(lesson, rows, room);
    surrogate(lesson, rows, hyper[CLIP], scale, room);
    for (int s = 0; s < rows; s++) {
      room->by_entropy[s] = lesson->entropies ? -(hyper[ENTROPY] * scale) : 0.0f;
      room->figures[SPREAD][s] = room->entropy[s];
    }
    pull_back(lesson, rows, room);
    if (lesson->penalty) {
      int first = 0;
      if (lesson->family == BERNOULLI)
        read_switches(rows, (int)lesson->columns, room->anchor_outputs, NULL, room->anchor, room->kl, NULL);
      for (int f = 0; lesson->family == CATEGORICAL && f < lesson->factors; f++) {
        read_factor(rows, first, (int)lesson->sizes[f], room->anchor_outputs, NULL, room->anchor, room->kl, NULL);
        first += (int)lesson->sizes[f];
      }
      penalise(lesson, rows, hyper[BETA] * scale, room);
      for (int s = 0; s < rows; s++) room->figures[PENALTY][s] = hyper[BETA] * room->kl[s];
    }
  }
  if (lesson->judges) value_loss(lesson, rows, hyper[VALUE_CLIP], hyper[VALUE] * scale, room);
  for (int k = 0; k < FIGURES; k++) add_lanes(rows, room->figures[k], room->total[k]);
}
