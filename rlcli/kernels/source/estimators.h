// Advantages and value targets (maths.estimators), in float32, time-major [T, R, N]; and, in float64,
// discounted returns.
//
// Every element is a chain over time, in the order of the torch code: products and sums are rounded one by
// one, but for what torch has as addcmul, which is one fused multiply-add. Columns are the R N environments,
// taken by blocks, each column with its own hyperparameters.
#pragma once

#define COLUMNS 128

// What follows the last step.
static const float nothing[COLUMNS];

// The hyperparameter, one for each run, of `count` columns from `first`.
static void by_column(long first, long count, long envs, const float *number, float *columns) {
  for (long c = 0; c < count; c++) columns[c] = number[(first + c) / envs];
}

// For every block of columns: its `first` and its `count`.
#define FOR_BLOCKS(columns)                                     \
  for (long first = 0, count; first < (columns); first += count) \
    if ((count = (columns) - first < COLUMNS ? (columns) - first : COLUMNS), 1)

// r + gamma (1 - terminated) V' - V.
INLINE float td_error(float reward, float gamma, uint8_t terminated, float next_value, float value) {
  return (reward + gamma * (terminated ? 0.0f : next_value)) - value;
}

static void gae_row(long columns, const float *rewards, const float *values, const float *next_values,
                    const uint8_t *terminated, const uint8_t *truncated, const float *gamma, const float *decay,
                    const float *following, float *restrict advantages, float *restrict targets) {
  for (long c = 0; c < columns; c++) {
    const float delta = td_error(rewards[c], gamma[c], terminated[c], next_values[c], values[c]);
    const float kept = decay[c], goes_on = terminated[c] | truncated[c] ? 0.0f : kept;
    const float advantage = fused_f(goes_on, following[c], delta);
    advantages[c] = advantage;
    targets[c] = advantage + values[c];
  }
}

// A_t = delta_t + gamma lambda A_{t+1}, where nothing follows an end (Schulman et al. 2016, equation 16);
// targets are A + V.
void EXPORT(gae)(long steps, long runs, long envs, const float *rewards, const float *values,
                 const float *next_values, const uint8_t *terminated, const uint8_t *truncated,
                 const float *gamma, const float *trace_decay, float *advantages, float *targets) {
  FOR_BLOCKS(runs * envs) {
    const float *following = nothing;
    float discount[COLUMNS], decay[COLUMNS];
    by_column(first, count, envs, gamma, discount);
    by_column(first, count, envs, trace_decay, decay);
    for (long c = 0; c < count; c++) decay[c] = discount[c] * decay[c];
    for (long t = steps - 1; t >= 0; t--) {
      const long i = t * runs * envs + first;
      gae_row(count, rewards + i, values + i, next_values + i, terminated + i, truncated + i, discount, decay,
              following, advantages + i, targets + i);
      following = advantages + i;
    }
  }
}

static void monte_carlo_row(long columns, int last, const float *rewards, const float *values,
                            const float *next_values, const uint8_t *terminated, const uint8_t *truncated,
                            const float *gamma, const float *following, float *restrict advantages,
                            float *restrict returns) {
  for (long c = 0; c < columns; c++) {
    const float bootstrap = (truncated[c] | last) & !terminated[c] ? next_values[c] : 0.0f;
    const float after = terminated[c] | truncated[c] ? 0.0f : following[c];
    const float whole = fused_f(gamma[c], after, rewards[c] + gamma[c] * bootstrap);
    returns[c] = whole;
    advantages[c] = whole - values[c];
  }
}

// G_t = r_t + gamma G_{t+1}, with V' in place of what was cut off (Sutton and Barto 2018, equation 3.8); the
// targets are G, the advantages G - V.
void EXPORT(monte_carlo)(long steps, long runs, long envs, const float *rewards, const float *values,
                         const float *next_values, const uint8_t *terminated, const uint8_t *truncated,
                         const float *gamma, float *advantages, float *targets) {
  FOR_BLOCKS(runs * envs) {
    const float *following = nothing;
    float discount[COLUMNS];
    by_column(first, count, envs, gamma, discount);
    for (long t = steps - 1; t >= 0; t--) {
      const long i = t * runs * envs + first;
      monte_carlo_row(count, t == steps - 1, rewards + i, values + i, next_values + i, terminated + i,
                      truncated + i, discount, following, advantages + i, targets + i);
      following = targets + i;
    }
  }
}

// `following`: the successors' returns where these go on into them (`follows`).
static void nstep_row(long columns, const float *rewards, const float *next_values, const uint8_t *terminated,
                      const uint8_t *truncated, const float *gamma, const float *following, int follows,
                      float *restrict returns) {
  for (long c = 0; c < columns; c++) {
    const float bootstrap = terminated[c] ? 0.0f : next_values[c];
    const int ended = terminated[c] | truncated[c] | !follows;
    returns[c] = rewards[c] + gamma[c] * (ended ? bootstrap : following[c]);
  }
}

// Returns over at most n steps, then V'; advantages are those less V, targets these and V (Mnih et al. 2016,
// section 3). A return over k steps is a reward and the successor's return over k - 1: pass k changes the
// steps that have as many after them. For n of all steps one pass backwards is the same.
void EXPORT(nstep)(long steps, long runs, long envs, const float *rewards, const float *values,
                   const float *next_values, const uint8_t *terminated, const uint8_t *truncated,
                   const float *gamma, long n, float *advantages, float *targets) {
  const long columns = runs * envs, last = steps - 1, passes = n < steps ? n : 1;
  float *returns = targets;
  FOR_BLOCKS(columns) {
    float discount[COLUMNS];
    by_column(first, count, envs, gamma, discount);
    for (long pass = 0; pass < passes; pass++)
      for (long k = pass; k < steps; k++) {
        const long t = n < steps ? k - pass : last - k, i = t * columns + first;
        const int follows = pass || (n >= steps && t < last);
        nstep_row(count, rewards + i, next_values + i, terminated + i, truncated + i, discount,
                  follows ? returns + i + columns : next_values + i, follows, returns + i);
      }
  }
  for (long i = 0; i < steps * columns; i++) {
    advantages[i] = returns[i] - values[i];
    targets[i] = advantages[i] + values[i];
  }
}

INLINE float capped(float ratio, float cap) { return ratio > cap ? cap : ratio; }

// `ratios` holds pi/mu, capped at `rho_bar` and at `c_bar`; the corrections are what is added to V.
static void vtrace_row(long columns, const float *ratios, const float *rewards, const float *values,
                       const float *next_values, const uint8_t *terminated, const uint8_t *truncated,
                       const float *gamma, const float *decay, const float *rho_bar, const float *c_bar,
                       int by_score, const float *following, float *restrict advantages,
                       float *restrict corrections) {
  for (long c = 0; c < columns; c++) {
    const float rho = capped(ratios[c], rho_bar[c]);
    const float delta = td_error(rewards[c], gamma[c], terminated[c], next_values[c], values[c]);
    const int ended = terminated[c] | truncated[c];
    const float kept = ended ? 0.0f : decay[c] * capped(ratios[c], c_bar[c]);
    const float advantage = delta + (ended ? 0.0f : gamma[c] * following[c]);
    corrections[c] = fused_f(kept, following[c], rho * delta);
    advantages[c] = by_score ? rho * advantage : advantage;
  }
}

// V-trace (Espeholt et al. 2018, equation 1 and section 4.2). With `by_score` the advantages are multiplied by
// the capped ratio.
void EXPORT(vtrace)(long steps, long runs, long envs, const float *log_rhos, const float *rewards,
                    const float *values, const float *next_values, const uint8_t *terminated,
                    const uint8_t *truncated, const float *gamma, const float *trace_decay, const float *rho_bar,
                    const float *c_bar, int by_score, float *advantages, float *targets) {
  const long columns = runs * envs;
  FOR_BLOCKS(columns) {
    const float *following = nothing;
    float discount[COLUMNS], decay[COLUMNS], rho_cap[COLUMNS], c_cap[COLUMNS], ratios[COLUMNS];
    by_column(first, count, envs, gamma, discount);
    by_column(first, count, envs, trace_decay, decay);
    by_column(first, count, envs, rho_bar, rho_cap);
    by_column(first, count, envs, c_bar, c_cap);
    for (long c = 0; c < count; c++) decay[c] = discount[c] * decay[c];
    for (long t = steps - 1; t >= 0; t--) {
      const long i = t * columns + first;
      for (long c = 0; c < count; c++) ratios[c] = exp_of_f(log_rhos[i + c]);
      vtrace_row(count, ratios, rewards + i, values + i, next_values + i, terminated + i, truncated + i, discount,
                 decay, rho_cap, c_cap, by_score, following, advantages + i, targets + i);
      following = targets + i;
    }
  }
  for (long i = 0; i < steps * columns; i++) targets[i] = values[i] + targets[i];
}

// G_t = gamma G_{t-1} + r_t, from `carried` [R, N], which starts again from 0 after an end, and is advanced.
void EXPORT(discounted_returns)(long steps, long runs, long envs, const double *rewards, const uint8_t *ended,
                                const double *gamma, double *carried, double *totals) {
  for (long t = 0; t < steps; t++)
    for (long r = 0; r < runs; r++) {
      const long row = (t * runs + r) * envs;
      double *restrict before = carried + r * envs;
      for (long n = 0; n < envs; n++) {
        const double total = fused_d(gamma[r], before[n], rewards[row + n]);
        totals[row + n] = total;
        before[n] = ended[row + n] ? 0.0 : total;
      }
    }
}
