// A policy that acts on a few rows: encoder, network and choice of an action.
//
// Outputs have the bits that passes.h gives them: every one is its bias, then one fused multiply-add an input.
// Rows are passed through by tiles that fit the cache, which changes no bit.
#define ACTING_TILE 48
#define FLOAT_LANES 16

// The policies of R runs; `packed` is what `pack` makes of their parameters, `stride` apart.
typedef struct {
  const Network *net;  // of one tower, whose first head is the policy's
  int64_t family, factors;  // see slopes.h
  const int64_t *sizes;     // of a categorical action's factors
  int64_t runs, stride;
  const float *packed;
  const double *mean, *scale;  // [R, inputs] of whitening; NULL: none
  float *room;                 // [2, ACTING_TILE, line]
  int64_t line;                // the widest layer, padded
} Policy;

INLINE int64_t lined(int64_t width) { return (width + FLOAT_LANES - 1) / FLOAT_LANES * FLOAT_LANES; }

INLINE int64_t inputs_of(const Policy *policy) { return policy->net->tower[0].inputs; }
INLINE int64_t outputs_in(const Policy *policy) { return policy->net->tower[0].columns[0]; }

// Columns of layer l; the head comes after the hidden layers.
INLINE int64_t columns_of(const Tower *tower, int64_t l) {
  return l < tower->layers ? tower->width[l] : tower->columns[0];
}

// Weights and biases of every layer, padded with zeros to whole vectors; then deviations exp(free).
void EXPORT(pack)(const Policy *policy, const float *parameters, int64_t step, float *to) {
  const Network *net = policy->net;
  const Tower *tower = net->tower;
  for (int64_t r = 0; r < policy->runs; r++, parameters += step) {
    float *at = to + r * policy->stride;
    int64_t inputs = tower->inputs;
    memset(at, 0, (size_t)policy->stride * sizeof(float));
    for (int64_t l = 0; l <= tower->layers; l++) {
      const int64_t width = columns_of(tower, l), line = lined(width);
      const float *weight = parameters + (l < tower->layers ? tower->weight[l] : tower->head_weight[0]);
      const float *bias = parameters + (l < tower->layers ? tower->bias[l] : tower->head_bias[0]);
      for (int64_t i = 0; i < inputs; i++, at += line) memcpy(at, weight + i * width, (size_t)width * sizeof(float));
      memcpy(at, bias, (size_t)width * sizeof(float));
      at += line;
      inputs = width;
    }
    for (int64_t i = 0; i < net->frees; i++) at[i] = exp_of_f(parameters[net->free + i]);
  }
}

INLINE float whitened_input(double x, double mean, double scale) { return (float)held_d((x - mean) * scale, -10.0, 10.0); }

// Inputs of a row into the room; `precise`: observations are double.
INLINE void encode(const Policy *policy, int64_t run, int64_t precise, const void *observation, float *to) {
  const int64_t width = inputs_of(policy);
  const float *single = observation;
  const double *both = observation;
  if (!policy->mean) {
    for (int64_t i = 0; i < width; i++) to[i] = precise ? (float)both[i] : single[i];
    return;
  }
  const double *mean = policy->mean + run * width, *scale = policy->scale + run * width;
  for (int64_t i = 0; i < width; i++)
    to[i] = whitened_input(precise ? both[i] : (double)single[i], mean[i], scale[i]);
}

// The outputs of `rows` rows of one run, whose inputs are in the room: where they are, `line` apart.
static const float *outputs_of(const Policy *policy, int64_t run, int rows, const float **deviation) {
  const Tower *tower = policy->net->tower;
  const float *at = policy->packed + run * policy->stride;
  const int64_t line = policy->line;
  float *from = policy->room, *to = from + ACTING_TILE * line;
  const int apart = policy->net->activation >= SILU;  // its result goes elsewhere than its argument
  int64_t inputs = tower->inputs;
  for (int64_t l = 0; l <= tower->layers; l++) {
    const int64_t columns = lined(columns_of(tower, l));
    const float *bias = at + inputs * columns;
    affine_f(rows, (int)columns, (int)inputs, from, line, 1, at, columns, bias, to, line);
    if (l < tower->layers)
      for (int r = 0; r < rows; r++)
        activate_f(policy->net->activation, (int)columns, to + r * line, (apart ? from : to) + r * line);
    at = bias + columns;
    inputs = columns_of(tower, l);
    if (apart && l < tower->layers) continue;
    float *other = from;
    from = to;
    to = other;
  }
  *deviation = at;
  return from;
}

// The place of the largest of x + noise, the first of equals or the first that is no number.
INLINE int64_t largest(int64_t count, const float *x, const float *noise) {
  int64_t found = 0;
  float most = 0;
  for (int64_t i = 0; i < count; i++) {
    const float value = noise ? x[i] + noise[i] : x[i];
    if (value != value) return i;
    if (!i || value > most) {
      most = value;
      found = i;
    }
  }
  return found;
}

// One row's action, from its outputs: int64, or float of a Gaussian policy. Without noise the most probable.
INLINE void choose(const Policy *policy, const float *output, const float *deviation, const float *noise,
                   void *action) {
  const int64_t width = outputs_in(policy);
  int64_t *choice = action;
  float *numbers = action;
  switch (policy->family) {
    case GAUSSIAN:
      for (int64_t i = 0; i < width; i++) numbers[i] = noise ? output[i] + deviation[i] * noise[i] : output[i];
      break;
    case CATEGORICAL:
      for (int64_t f = 0, first = 0; f < policy->factors; first += policy->sizes[f++])
        choice[f] = largest(policy->sizes[f], output + first, noise ? noise + first : NULL);
      break;
    default:
      for (int64_t i = 0; i < width; i++) choice[i] = (noise ? output[i] + noise[i] : output[i]) > 0.0f;
  }
}

// Bytes of one row's action.
INLINE int64_t action_bytes(const Policy *policy) {
  const int64_t width = outputs_in(policy);
  if (policy->family == CATEGORICAL) return policy->factors * (int64_t)sizeof(int64_t);
  return width * (int64_t)(policy->family == GAUSSIAN ? sizeof(float) : sizeof(int64_t));
}

// Outputs [rows, D] and actions of `rows` rows of one run.
INLINE void act_on(const Policy *policy, int64_t run, int rows, int64_t precise, const char *observations,
                   const float *noise, float *outputs, char *actions) {
  const int64_t inputs = inputs_of(policy), width = outputs_in(policy);
  const int64_t row_bytes = inputs * (int64_t)(precise ? sizeof(double) : sizeof(float));
  const int64_t bytes = action_bytes(policy);
  const float *deviation;
  for (int i = 0; i < rows; i++)
    encode(policy, run, precise, observations + i * row_bytes, policy->room + i * policy->line);
  const float *found = outputs_of(policy, run, rows, &deviation);
  for (int i = 0; i < rows; i++, found += policy->line) {
    memcpy(outputs + i * width, found, (size_t)width * sizeof(float));
    choose(policy, found, deviation, noise ? noise + i * width : NULL, actions + i * bytes);
  }
}

// Actions and outputs [R, N, ...] at observations [R, N, I], float or double, by noise [R, N, D] or none.
void EXPORT(act)(const Policy *policy, int64_t envs, int64_t precise, const char *observations, const float *noise,
                 float *outputs, char *actions) {
  const int64_t inputs = inputs_of(policy), width = outputs_in(policy);
  const int64_t row_bytes = inputs * (int64_t)(precise ? sizeof(double) : sizeof(float));
  for (int64_t r = 0; r < policy->runs; r++)
    for (int64_t n = 0; n < envs; n += ACTING_TILE) {
      const int64_t at = r * envs + n;
      act_on(policy, r, (int)(envs - n < ACTING_TILE ? envs - n : ACTING_TILE), precise,
             observations + at * row_bytes, noise ? noise + at * width : NULL, outputs + at * width,
             actions + at * action_bytes(policy));
    }
}
