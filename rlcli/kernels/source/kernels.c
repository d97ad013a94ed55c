// One instruction set's library of kernels: every unit, once for each precision it is needed in.
#include "common.h"
#include "elementary.h"
#include "network.h"

#include "single.h"
#include "vector.h"
#include "product.h"
#include "mapped.h"
#include "towers.h"
#include "passes.h"
#include "learn.h"
#include "moments.h"

#include "double.h"
#include "vector.h"
#include "product.h"
#include "mapped.h"
#include "towers.h"
#include "passes.h"
#include "moments.h"

#include "estimators.h"
#include "shuffle.h"
#include "philox.h"
#include "seeds.h"
#include "classic.h"
#include "acting.h"
#include "rollout.h"
#include "orthogonal.h"
#include "whiten.h"
#include "figures.h"
#include "pareto.h"
#include "steps.h"
#include "successors.h"
#include "texts.h"

// The version of the numbers: raised whenever any kernel gives other bits.
int EXPORT(version)(void) { return 1; }
