// Whole batches through the networks of R runs: outputs, gradients, tangents. Included per precision.
//
// Inputs [R, B, I]; parameters of run r begin at r stride; outputs [R, B, D], values [R, B]. Where a pointer is
// NULL that result is not wanted, or that gradient is 0.

// What of a tile's outputs the caller wants.
INLINE void F(hand_out)(const Tower *tower, int rows, const F(Work) *work, REAL *outputs, REAL *values) {
  int policy = (int)tower->outputs;
  if (outputs && policy)
    for (int s = 0; s < rows; s++)
      memcpy(outputs + (size_t)s * policy, work->out + (size_t)s * work->head_line, policy * sizeof(REAL));
  if (values && work->columns > policy)
    for (int s = 0; s < rows; s++) values[s] = work->out[(size_t)s * work->head_line + policy];
}

INLINE int F(concerns)(const Tower *tower, const void *outputs, const void *values) {
  return (outputs && tower->outputs) || (values && whole_columns(tower) > tower->outputs);
}

// Returns 0, or 1 where there is no memory.
int EXPORT_REAL(heads)(const Network *net, int64_t runs, int64_t samples, const REAL *x, const REAL *parameters,
                     int64_t stride, REAL *outputs, REAL *values) {
  for (int t = 0; t < net->towers; t++) {
    const Tower *tower = &net->tower[t];
    if (!F(concerns)(tower, outputs, values)) continue;
    F(Work) work;
    size_t inputs = tower->inputs, policy = tower->outputs;
    char *base = aligned_alloc(BLOCK_BYTES, F(lay_out)(net, tower, 0, NULL, &work) + BLOCK_BYTES);
    if (!base) return 1;
    F(lay_out)(net, tower, 0, base, &work);
    for (int64_t r = 0; r < runs; r++) {
      F(pack)(tower, parameters + r * stride, 0, &work);
      for (int64_t s = 0; s < samples; s += TILE) {
        int rows = (int)(samples - s < TILE ? samples - s : TILE);
        size_t row = (size_t)r * samples + s;
        F(forward)(net, tower, &work, rows, x + row * inputs, inputs);
        F(hand_out)(tower, rows, &work, outputs ? outputs + row * policy : NULL, values ? values + row : NULL);
      }
    }
    free(base);
  }
  return 0;
}

// The last hidden layer [R, B, H] of the first tower.
int EXPORT_REAL(features)(const Network *net, int64_t runs, int64_t samples, const REAL *x, const REAL *parameters,
                          int64_t stride, REAL *found) {
  const Tower *tower = &net->tower[0];
  int width = features(tower);
  F(Work) work;
  char *base = aligned_alloc(BLOCK_BYTES, F(lay_out)(net, tower, 0, NULL, &work) + BLOCK_BYTES);
  if (!base) return 1;
  F(lay_out)(net, tower, 0, base, &work);
  for (int64_t r = 0; r < runs; r++) {
    F(pack)(tower, parameters + r * stride, 0, &work);
    for (int64_t s = 0; s < samples; s += TILE) {
      int rows = (int)(samples - s < TILE ? samples - s : TILE);
      size_t row = (size_t)r * samples + s;
      F(forward)(net, tower, &work, rows, x + row * tower->inputs, tower->inputs);
      F(narrow)(rows, width, work.feature_line, work.post[tower->layers - 1], found + row * width);
    }
  }
  free(base);
  return 0;
}

// Where a tile's gradients by the heads go: work->by_out, padding 0.
INLINE void F(take_in)(const Tower *tower, int rows, F(Work) *work, const REAL *by_outputs, const REAL *by_values) {
  int policy = (int)tower->outputs;
  memset(work->by_out, 0, (size_t)rows * work->head_line * sizeof(REAL));
  for (int s = 0; s < rows; s++) {
    REAL *to = work->by_out + (size_t)s * work->head_line;
    if (by_outputs && policy) memcpy(to, by_outputs + (size_t)s * policy, policy * sizeof(REAL));
    if (by_values && work->columns > policy) to[policy] = by_values[s];
  }
}

// gradient [R, size]; by_free [R, F] is the gradient by the parameters that no observation changes.
int EXPORT_REAL(vjp)(const Network *net, int64_t runs, int64_t samples, const REAL *x, const REAL *parameters,
                   int64_t stride, const REAL *by_outputs, const REAL *by_values, const REAL *by_free,
                   REAL *gradient) {
  memset(gradient, 0, (size_t)runs * net->size * sizeof(REAL));
  for (int64_t r = 0; by_free && r < runs; r++)
    memcpy(gradient + r * net->size + net->free, by_free + r * net->frees, net->frees * sizeof(REAL));
  for (int t = 0; t < net->towers; t++) {
    const Tower *tower = &net->tower[t];
    if (!F(concerns)(tower, by_outputs, by_values)) continue;
    F(Work) work;
    size_t inputs = tower->inputs, policy = tower->outputs;
    char *base = aligned_alloc(BLOCK_BYTES, F(lay_out)(net, tower, 1, NULL, &work) + BLOCK_BYTES);
    if (!base) return 1;
    F(lay_out)(net, tower, 1, base, &work);
    for (int64_t r = 0; r < runs; r++) {
      F(pack)(tower, parameters + r * stride, 1, &work);
      F(no_gradients)(tower, &work);
      for (int64_t s = 0; s < samples; s += TILE) {
        int rows = (int)(samples - s < TILE ? samples - s : TILE);
        size_t row = (size_t)r * samples + s;
        F(forward)(net, tower, &work, rows, x + row * inputs, inputs);
        F(take_in)(tower, rows, &work, by_outputs ? by_outputs + row * policy : NULL,
                   by_values ? by_values + row : NULL);
        F(backward)(net, tower, &work, rows, x + row * inputs, inputs);
      }
      F(unpack)(tower, &work, gradient + r * net->size);
    }
    free(base);
  }
  return 0;
}

// Tangents of the heads along a tangent [R, size] of the parameters.
int EXPORT_REAL(jvp)(const Network *net, int64_t runs, int64_t samples, const REAL *x, const REAL *parameters,
                   int64_t stride, const REAL *tangent, REAL *outputs, REAL *values) {
  for (int t = 0; t < net->towers; t++) {
    const Tower *tower = &net->tower[t];
    if (!F(concerns)(tower, outputs, values)) continue;
    F(Work) work, along;
    size_t inputs = tower->inputs, policy = tower->outputs;
    size_t bytes = F(lay_out)(net, tower, 0, NULL, &work);
    char *base = aligned_alloc(BLOCK_BYTES, 2 * bytes + BLOCK_BYTES);
    if (!base) return 1;
    F(lay_out)(net, tower, 0, base, &work);
    F(lay_out)(net, tower, 0, base + bytes, &along);
    for (int64_t r = 0; r < runs; r++) {
      F(pack)(tower, parameters + r * stride, 0, &work);
      F(pack)(tower, tangent + r * net->size, 0, &along);
      for (int64_t s = 0; s < samples; s += TILE) {
        int rows = (int)(samples - s < TILE ? samples - s : TILE);
        size_t row = (size_t)r * samples + s;
        F(forward)(net, tower, &work, rows, x + row * inputs, inputs);
        F(push)(net, tower, &work, &along, rows, x + row * inputs, inputs);
        F(hand_out)(tower, rows, &along, outputs ? outputs + row * policy : NULL, values ? values + row : NULL);
      }
    }
    free(base);
  }
  return 0;
}
