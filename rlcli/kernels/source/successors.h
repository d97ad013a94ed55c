// Which rows the values of successors are read from: the next row of a rollout, the last observations, finals.
//
// T time, R runs, N environments of one run, E episodes that ended; places [E, 3] are step, run, environment.
#pragma once

// The rank of each final among those of its run [E], and the finals of each run and the most of one [R + 1],
// which is -1 where a place is outside the rollout.
void EXPORT(rank_finals)(int64_t steps, int64_t runs, int64_t envs, int64_t ended, const int64_t *places,
                            int64_t *counts, int64_t *rank) {
  int64_t *most = counts + runs;
  memset(counts, 0, (size_t)(runs + 1) * sizeof(int64_t));
  for (int64_t e = 0; e < ended; e++, places += 3) {
    const uint64_t step = (uint64_t)places[0], run = (uint64_t)places[1], env = (uint64_t)places[2];
    if (step >= (uint64_t)steps || run >= (uint64_t)runs || env >= (uint64_t)envs) {
      *most = -1;
      return;
    }
    rank[e] = counts[run]++;
    *most = counts[run] > *most ? counts[run] : *most;
  }
}

// Rows [R, N + most, bytes]: the last observations [R, N, bytes], then each run's finals [E, bytes], then zeros.
void EXPORT(successor_rows)(int64_t runs, int64_t envs, int64_t most, int64_t bytes, int64_t ended,
                            const int64_t *places, const int64_t *rank, const char *last, const char *finals,
                            char *rows) {
  const int64_t line = (envs + most) * bytes;
  for (int64_t r = 0; r < runs; r++) {
    memcpy(rows + r * line, last + r * envs * bytes, (size_t)(envs * bytes));
    memset(rows + r * line + envs * bytes, 0, (size_t)(most * bytes));
  }
  for (int64_t e = 0; e < ended; e++)
    memcpy(rows + places[3 * e + 1] * line + (envs + rank[e]) * bytes, finals + e * bytes, (size_t)bytes);
}

// V of the successors [T, R, N] from V of the rollout's rows [R, T, N] and of `others` [R, N + most].
void EXPORT(successor_values)(int64_t steps, int64_t runs, int64_t envs, int64_t most, int64_t ended,
                              const int64_t *places, const int64_t *rank, const float *values,
                              const float *others, float *found) {
  for (int64_t t = 0; t < steps; t++)
    for (int64_t r = 0; r < runs; r++) {
      const float *next = t + 1 < steps ? values + (r * steps + t + 1) * envs : others + r * (envs + most);
      memcpy(found + (t * runs + r) * envs, next, (size_t)envs * sizeof(float));
    }
  for (int64_t e = 0; e < ended; e++) {
    const int64_t run = places[3 * e + 1];
    found[(places[3 * e] * runs + run) * envs + places[3 * e + 2]] = others[run * (envs + most) + envs + rank[e]];
  }
}
