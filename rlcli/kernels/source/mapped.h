// Elementary functions of arrays: out[i] = function(in[i]); included per precision.
#define MAPPED(name)                                                             \
  void EXPORT(F(name))(const REAL *restrict in, REAL *restrict out, int64_t count) { \
    for (int64_t i = 0; i < count; i++) out[i] = F(name##_of)(in[i]);            \
  }
MAPPED(exp)
MAPPED(expm1)
MAPPED(log)
MAPPED(log1p)
MAPPED(tanh)
MAPPED(erf)
#undef MAPPED
