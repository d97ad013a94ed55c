// Passes through a tower, tile of rows by tile: outputs, gradients, tangents. Included per precision.
//
// Declared order: an output is its bias, then one fused multiply-add an input; a gradient of a weight is one
// fused multiply-add a row, a gradient of a bias one addition a row, from the first row of the batch to the
// last; a gradient of an input one fused multiply-add an output. Tiles change no bit.

#define TILE 96

// One run's tower, its matrices padded to LANES columns, and room for a tile.
typedef struct {
  int line[MAX_DEPTH];  // padded width of each layer
  const REAL *weight[MAX_DEPTH], *bias[MAX_DEPTH];
  REAL *padded[MAX_DEPTH], *padded_bias[MAX_DEPTH];
  REAL *back[MAX_DEPTH];  // [width, padded inputs]: transposed, but of the first layer
  int columns, head_line, feature_line;
  REAL *head, *head_bias, *head_back;
  REAL *pre[MAX_DEPTH], *post[MAX_DEPTH];  // [TILE, line]
  REAL *out, *by_out;                      // [TILE, head_line]
  REAL *delta, *other;                     // [TILE, widest line]
  REAL *inputs;                            // [TILE, feature_line]: where there are no layers
  REAL *by_weight[MAX_DEPTH], *by_bias[MAX_DEPTH];
  REAL *by_head, *by_head_bias;  // by_head [columns, feature_line]: transposed, as features are many
} F(Work);

INLINE int F(padded)(int64_t columns) { return (int)((columns + LANES - 1) / LANES * LANES); }

INLINE REAL *F(take)(char *base, size_t *used, size_t count) {
  REAL *found = base ? (REAL *)(base + *used) : NULL;
  *used += (count * sizeof(REAL) + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
  return found;
}

// Lays out `work` from `base` (NULL: only counts); how many bytes it takes. `gradients`: with room for them.
static size_t F(lay_out)(const Network *net, const Tower *tower, int gradients, char *base, F(Work) *work) {
  size_t used = 0;
  int inputs = (int)tower->inputs, widest = F(padded)(features(tower));
  work->columns = whole_columns(tower);
  work->head_line = F(padded)(work->columns);
  work->feature_line = F(padded)(features(tower));
  for (int l = 0; l < tower->layers; l++) {
    int width = (int)tower->width[l], line = work->line[l] = F(padded)(width);
    if (line > widest) widest = line;
    work->padded[l] = width == line ? NULL : F(take)(base, &used, (size_t)inputs * line);
    work->padded_bias[l] = width == line ? NULL : F(take)(base, &used, line);
    work->post[l] = F(take)(base, &used, (size_t)TILE * line);
    work->pre[l] = net->activation >= SILU ? F(take)(base, &used, (size_t)TILE * line) : work->post[l];
    if (gradients) {
      work->back[l] = l ? F(take)(base, &used, (size_t)width * F(padded)(inputs)) : NULL;
      work->by_weight[l] = F(take)(base, &used, (size_t)inputs * line);
      work->by_bias[l] = F(take)(base, &used, line);
    }
    inputs = width;
  }
  work->head = F(take)(base, &used, (size_t)inputs * work->head_line);
  work->head_bias = F(take)(base, &used, work->head_line);
  work->out = F(take)(base, &used, (size_t)TILE * work->head_line);
  if (gradients) {
    work->head_back = F(take)(base, &used, (size_t)work->columns * work->feature_line);
    work->by_out = F(take)(base, &used, (size_t)TILE * work->head_line);
    work->by_head = F(take)(base, &used, (size_t)work->columns * work->feature_line);
    work->by_head_bias = F(take)(base, &used, work->head_line);
    work->inputs = tower->layers ? NULL : F(take)(base, &used, (size_t)TILE * work->feature_line);
  }
  work->delta = F(take)(base, &used, (size_t)TILE * widest);
  work->other = F(take)(base, &used, (size_t)TILE * widest);
  return used;
}

// [rows, columns] into lines of `line`, zeros behind.
INLINE void F(widen)(int rows, int columns, int line, const REAL *from, REAL *to) {
  for (int r = 0; r < rows; r++) {
    memcpy(to + (size_t)r * line, from + (size_t)r * columns, columns * sizeof(REAL));
    for (int j = columns; j < line; j++) to[(size_t)r * line + j] = 0;
  }
}

// [rows, columns] of lines `stride` as [columns, line], zeros behind.
INLINE void F(transpose)(int rows, int columns, int stride, int line, const REAL *from, REAL *to) {
  for (int r = 0; r < line; r += LANES)
    for (int j = 0; j < columns; j++) {
      REAL *row = to + (size_t)j * line + r;
      for (int i = 0; i < LANES; i++) row[i] = r + i < rows ? from[(size_t)(r + i) * stride + j] : 0;
    }
}

// The parameters of one run as the passes read them.
static void F(pack)(const Tower *tower, const REAL *parameters, int gradients, F(Work) *work) {
  int inputs = (int)tower->inputs;
  for (int l = 0; l < tower->layers; l++) {
    int width = (int)tower->width[l], line = work->line[l];
    const REAL *weight = parameters + tower->weight[l];
    if (work->padded[l]) {
      F(widen)(inputs, width, line, weight, work->padded[l]);
      F(widen)(1, width, line, parameters + tower->bias[l], work->padded_bias[l]);
    }
    work->weight[l] = work->padded[l] ? work->padded[l] : weight;
    work->bias[l] = work->padded[l] ? work->padded_bias[l] : parameters + tower->bias[l];
    if (gradients && l) F(transpose)(inputs, width, width, F(padded)(inputs), weight, work->back[l]);
    inputs = width;
  }
  memset(work->head, 0, (size_t)inputs * work->head_line * sizeof(REAL));
  memset(work->head_bias, 0, work->head_line * sizeof(REAL));
  int first = 0;
  for (int h = 0; h < tower->heads; h++) {
    int columns = (int)tower->columns[h];
    const REAL *weight = parameters + tower->head_weight[h];
    for (int i = 0; i < inputs; i++)
      for (int j = 0; j < columns; j++) work->head[(size_t)i * work->head_line + first + j] = weight[i * columns + j];
    memcpy(work->head_bias + first, parameters + tower->head_bias[h], columns * sizeof(REAL));
    first += columns;
  }
  if (gradients)
    F(transpose)(inputs, work->columns, work->head_line, work->feature_line, work->head, work->head_back);
}

static void F(activate)(int64_t kind, int count, REAL *pre, REAL *post) {
  const REAL root_half = (REAL)0.70710678118654752440;
  switch (kind) {
    case TANH:
      for (int i = 0; i < count; i++) post[i] = F(tanh_of)(post[i]);
      break;
    case RELU:
      for (int i = 0; i < count; i++) post[i] = post[i] < 0 ? 0 : post[i];
      break;
    case ELU:
      for (int i = 0; i < count; i++) post[i] = post[i] > 0 ? post[i] : F(expm1_of)(post[i]);
      break;
    case SILU:
      for (int i = 0; i < count; i++) post[i] = pre[i] * (1 / (1 + F(exp_of)(-pre[i])));
      break;
    default:
      for (int i = 0; i < count; i++) post[i] = pre[i] * ((REAL)0.5 * (1 + F(erf_of)(pre[i] * root_half)));
  }
}

// by x = by y times the derivative, in place.
static void F(through)(int64_t kind, int count, const REAL *pre, const REAL *post, REAL *by) {
  const REAL root_half = (REAL)0.70710678118654752440, density = (REAL)0.39894228040143267794;
  switch (kind) {
    case TANH:
      for (int i = 0; i < count; i++) by[i] *= F(fused)(-post[i], post[i], 1);
      break;
    case RELU:
      for (int i = 0; i < count; i++) by[i] = post[i] <= 0 ? 0 : by[i];
      break;
    case ELU:
      for (int i = 0; i < count; i++) by[i] = post[i] > 0 ? by[i] : by[i] * (post[i] + 1);
      break;
    case SILU:
      for (int i = 0; i < count; i++) {
        REAL gate = 1 / (1 + F(exp_of)(-pre[i]));
        by[i] *= F(fused)(post[i], 1 - gate, gate);
      }
      break;
    default:
      for (int i = 0; i < count; i++) {
        REAL below = (REAL)0.5 * (1 + F(erf_of)(pre[i] * root_half));
        by[i] *= F(fused)(pre[i] * density, F(exp_of)((REAL)-0.5 * (pre[i] * pre[i])), below);
      }
  }
}

// The heads of `work` at A [rows, inputs], lines of `next`: out = their bias + A B, or out + A B.
INLINE void F(through_heads)(const F(Work) *work, int rows, int inputs, const REAL *a, long next, const int from,
                             REAL *out) {
  int line = work->head_line;
  if (work->columns <= FEW && from == FROM_BIAS)
    F(affine_of_few)(rows, inputs, a, next, work->head, line, work->head_bias, out, line);
  else if (work->columns <= FEW)
    F(add_product_of_few)(rows, inputs, a, next, work->head, line, NULL, out, line);
  else if (from == FROM_BIAS)
    F(affine)(rows, line, inputs, a, next, 1, work->head, line, work->head_bias, out, line);
  else
    F(add_product)(rows, line, inputs, a, next, 1, work->head, line, NULL, out, line);
}

// Outputs of `rows` <= TILE rows, lines of `next`, into work->out.
static void F(forward)(const Network *net, const Tower *tower, F(Work) *work, int rows, const REAL *x, long next) {
  int inputs = (int)tower->inputs;
  for (int l = 0; l < tower->layers; l++) {
    int line = work->line[l];
    F(affine)(rows, line, inputs, x, next, 1, work->weight[l], line, work->bias[l], work->pre[l], line);
    F(activate)(net->activation, rows * line, work->pre[l], work->post[l]);
    x = work->post[l];
    next = line;
    inputs = (int)tower->width[l];
  }
  F(through_heads)(work, rows, inputs, x, next, FROM_BIAS, work->out);
}

static void F(no_gradients)(const Tower *tower, F(Work) *work) {
  size_t inputs = tower->inputs;
  for (int l = 0; l < tower->layers; l++) {
    memset(work->by_weight[l], 0, inputs * work->line[l] * sizeof(REAL));
    memset(work->by_bias[l], 0, work->line[l] * sizeof(REAL));
    inputs = tower->width[l];
  }
  memset(work->by_head, 0, (size_t)work->columns * work->feature_line * sizeof(REAL));
  memset(work->by_head_bias, 0, work->head_line * sizeof(REAL));
}

INLINE void F(add_rows)(int rows, int columns, const REAL *from, REAL *total) {
  for (int s = 0; s < rows; s++)
    for (int j = 0; j < columns; j++) total[j] += from[(size_t)s * columns + j];
}

// Adds the gradients of a tile that `forward` has passed, from work->by_out, whose padding is 0.
static void F(backward)(const Network *net, const Tower *tower, F(Work) *work, int rows, const REAL *x, long next) {
  int layers = (int)tower->layers, width = features(tower), line = work->feature_line, heads = work->head_line;
  if (!layers) F(widen)(rows, width, line, x, work->inputs);
  const REAL *read = layers ? work->post[layers - 1] : work->inputs;
  F(add_product)(work->columns, line, rows, work->by_out, 1, heads, read, line, NULL, work->by_head, line);
  F(add_rows)(rows, heads, work->by_out, work->by_head_bias);
  if (!layers) return;
  REAL *by = work->delta, *free = work->other;
  F(multiply)(rows, line, work->columns, work->by_out, heads, 1, work->head_back, line, NULL, by, line);
  for (int l = layers - 1; l >= 0; l--) {
    int inputs = (int)(l ? tower->width[l - 1] : tower->inputs), below = l ? work->line[l - 1] : 0;
    line = work->line[l];
    F(through)(net->activation, rows * line, work->pre[l], work->post[l], by);
    F(add_product)(inputs, line, rows, l ? work->post[l - 1] : x, 1, l ? below : next, by, line, NULL,
                   work->by_weight[l], line);
    F(add_rows)(rows, line, by, work->by_bias[l]);
    if (!l) break;
    F(multiply)(rows, below, (int)tower->width[l], by, line, 1, work->back[l], below, NULL, free, below);
    REAL *swapped = by;
    by = free;
    free = swapped;
  }
}

INLINE void F(narrow)(int rows, int columns, int line, const REAL *from, REAL *to) {
  for (int r = 0; r < rows; r++)
    memcpy(to + (size_t)r * columns, from + (size_t)r * line, columns * sizeof(REAL));
}

// The tower's gradients where its parameters lie.
static void F(unpack)(const Tower *tower, const F(Work) *work, REAL *gradient) {
  int inputs = (int)tower->inputs;
  for (int l = 0; l < tower->layers; l++) {
    int width = (int)tower->width[l];
    F(narrow)(inputs, width, work->line[l], work->by_weight[l], gradient + tower->weight[l]);
    F(narrow)(1, width, work->line[l], work->by_bias[l], gradient + tower->bias[l]);
    inputs = width;
  }
  int first = 0;
  for (int h = 0; h < tower->heads; h++) {
    int columns = (int)tower->columns[h];
    for (int i = 0; i < inputs; i++)
      for (int j = 0; j < columns; j++)
        gradient[tower->head_weight[h] + i * columns + j] = work->by_head[(size_t)(first + j) * work->feature_line + i];
    memcpy(gradient + tower->head_bias[h], work->by_head_bias + first, columns * sizeof(REAL));
    first += columns;
  }
}

// The tangent of the outputs, into along->out, at a tile that `forward` has passed; `along` is packed with a
// tangent of the parameters.
static void F(push)(const Network *net, const Tower *tower, const F(Work) *work, F(Work) *along, int rows,
                    const REAL *x, long next) {
  int inputs = (int)tower->inputs, below = 0;
  const REAL *moved = NULL;
  for (int l = 0; l < tower->layers; l++) {
    int line = work->line[l];
    REAL *pushed = along->post[l];
    F(affine)(rows, line, inputs, x, next, 1, along->weight[l], line, along->bias[l], pushed, line);
    if (moved) F(add_product)(rows, line, inputs, moved, below, 1, work->weight[l], line, NULL, pushed, line);
    F(through)(net->activation, rows * line, work->pre[l], work->post[l], pushed);
    x = work->post[l];
    moved = pushed;
    next = below = line;
    inputs = (int)tower->width[l];
  }
  F(through_heads)(along, rows, inputs, x, next, FROM_BIAS, along->out);
  if (moved) F(through_heads)(work, rows, inputs, moved, below, FROM_TOTAL, along->out);
}
