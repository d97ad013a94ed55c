// Rollouts of the classic-control environments: T steps of R x N of them under the policies of R runs.
//
// Runs and environments do not touch one another, so runs come one after another, each with its parameters in
// the cache. Shapes: T steps, R runs, N environments of one run, S numbers of a state, O of an observation, D
// policy outputs.
typedef struct {
  Policy policy;
  int64_t envs, first, last;  // N; the steps to take
  int64_t world, time_limit;  // the kind; steps after which an episode is cut
  double setting, low, high;  // see Rules
  const char *names;          // [R, NAME_BYTES]: see episode_seed
  const float *noise;         // [T, R, N, D]
  // What goes on from rollout to rollout
  double *state;                          // [S, R, N]
  int64_t *elapsed, *episodes, *lengths;  // [R, N]
  double *returns;                        // [R, N]
  uint8_t *failed;                        // [R]
  float *failing;                         // [R, N, O]: what a run showed as it failed
  // What is recorded
  float *observations;            // [T + 1, R, N, O], of which the row of step `first` is there
  float *finals;                  // [T, R, N, O], written where an episode ends
  char *actions;                  // [T, R, N, ...]
  float *outputs;                 // [T, R, N, D]
  double *rewards;                // [T, R, N]
  uint8_t *terminated, *truncated;  // [T, R, N]
  double *ended_returns;          // [T, R, N], written where an episode ends
  int64_t *ended_lengths;         // [T, R, N], likewise
} Rollout;

INLINE int all_finite(int64_t count, const float *x) {
  int finite = 1;
  for (int64_t i = 0; i < count; i++) finite &= x[i] - x[i] == 0;
  return finite;
}

// What environments show, from their states.
INLINE void show(const double *state, int64_t shown, float *to) {
  for (int64_t i = 0; i < shown; i++) to[i] = (float)state[i];
}

// Moves environment n of run r by one step: its row of what is recorded.
INLINE void move(const Rollout *x, const Rules *rules, int64_t r, int64_t n, int64_t row, const char *action) {
  const int64_t all = x->policy.runs * x->envs, at = r * x->envs + n, width = worlds[x->world].width;
  const int64_t shown = worlds[x->world].shown;
  double state[MAX_STATE];
  int terminated;
  for (int64_t i = 0; i < width; i++) state[i] = x->state[i * all + at];
  x->rewards[row] = advance(x->world, state, action, rules, &terminated);
  for (int64_t i = 0; i < width; i++) x->state[i * all + at] = state[i];
  x->terminated[row] = (uint8_t)terminated;
  x->truncated[row] = ++x->elapsed[at] >= x->time_limit;
  show(state, shown, x->observations + (row + all) * shown);
}

// A run whose observations are no numbers any more shows zeros from then on, and its episodes do not end.
INLINE void check_run(const Rollout *x, int64_t r, int64_t row) {
  const int64_t all = x->policy.runs * x->envs, count = x->envs * worlds[x->world].shown;
  float *seen = x->observations + (row + all) * worlds[x->world].shown;
  if (!x->failed[r]) {
    if (all_finite(count, seen)) return;
    memcpy(x->failing + r * count, seen, (size_t)count * sizeof(float));
    x->failed[r] = 1;
  }
  memset(seen, 0, (size_t)count * sizeof(float));
  memset(x->rewards + row, 0, (size_t)x->envs * sizeof(double));
  memset(x->terminated + row, 0, (size_t)x->envs);
  memset(x->truncated + row, 0, (size_t)x->envs);
}

// Begins the next episode of environment n of run r, whose last one ended at this row.
static void begin_next(const Rollout *x, int64_t r, int64_t n, int64_t row) {
  const int64_t all = x->policy.runs * x->envs, at = r * x->envs + n, shown = worlds[x->world].shown;
  float *seen = x->observations + (row + all) * shown;
  double state[MAX_STATE];
  memcpy(x->finals + row * shown, seen, (size_t)shown * sizeof(float));
  x->ended_returns[row] = x->returns[at];
  x->ended_lengths[row] = x->lengths[at];
  x->returns[at] = 0.0;
  x->lengths[at] = x->elapsed[at] = 0;
  begin(x->world, episode_seed(x->names + r * NAME_BYTES, n, ++x->episodes[at]), state);
  for (int64_t i = 0; i < worlds[x->world].width; i++) x->state[i * all + at] = state[i];
  show(state, shown, seen);
}

static void step_run(const Rollout *x, const Rules *rules, int64_t t, int64_t r) {
  const Policy *policy = &x->policy;
  const int64_t envs = x->envs, row = (t * policy->runs + r) * envs, shown = worlds[x->world].shown;
  const int64_t width = outputs_in(policy), bytes = action_bytes(policy);
  for (int64_t n = 0; n < envs; n += ACTING_TILE) {
    const int64_t at = row + n;
    const int rows = (int)(envs - n < ACTING_TILE ? envs - n : ACTING_TILE);
    act_on(policy, r, rows, 0, (const char *)(x->observations + at * shown), x->noise + at * width,
           x->outputs + at * width, x->actions + at * bytes);
    for (int i = 0; i < rows; i++) move(x, rules, r, n + i, at + i, x->actions + (at + i) * bytes);
  }
  if (policy->family == GAUSSIAN) check_run(x, r, row);
  for (int64_t n = 0; n < envs; n++) {
    x->returns[r * envs + n] += x->rewards[row + n];
    x->lengths[r * envs + n]++;
    if (x->terminated[row + n] | x->truncated[row + n]) begin_next(x, r, n, row + n);
  }
}

void EXPORT(rollout)(const Rollout *x) {
  volatile double two = 2.0;
  volatile float single_two = 2.0f;
  const Rules rules = {x->setting, (float)x->low, (float)x->high, &two, &single_two};
  for (int64_t r = 0; r < x->policy.runs; r++)
    for (int64_t t = x->first; t < x->last; t++) step_run(x, &rules, t, r);
}
