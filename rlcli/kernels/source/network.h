// How the parameters of one run's networks lie, as Python describes them: int64 throughout, in this order.
#define MAX_DEPTH 8
#define MAX_HEADS 3

// A trunk of hidden layers, each [inputs, width] row by row with a bias after it, and the heads that read it.
typedef struct {
  int64_t inputs, layers, width[MAX_DEPTH], weight[MAX_DEPTH], bias[MAX_DEPTH];
  int64_t heads, columns[MAX_HEADS], head_weight[MAX_HEADS], head_bias[MAX_HEADS];
  int64_t outputs;  // the first columns of all heads are policy outputs; one more is V
} Tower;

typedef struct {
  int64_t activation, size, free, frees;  // places of the parameters that no observation changes
  int64_t towers;
  Tower tower[2];
} Network;

enum { TANH, RELU, ELU, SILU, GELU };

INLINE int whole_columns(const Tower *tower) {
  int columns = 0;
  for (int h = 0; h < tower->heads; h++) columns += (int)tower->columns[h];
  return columns;
}

INLINE int features(const Tower *tower) {
  return (int)(tower->layers ? tower->width[tower->layers - 1] : tower->inputs);
}
