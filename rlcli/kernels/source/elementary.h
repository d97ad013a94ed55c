// Elementary functions; stand-ins by the C library until ours are written.
#define STAND_IN(name) \
  INLINE float name##_of_f(float x) { return name##f(x); } \
  INLINE double name##_of_d(double x) { return name(x); }
STAND_IN(exp)
STAND_IN(log)
STAND_IN(tanh)
STAND_IN(expm1)
STAND_IN(log1p)
STAND_IN(erf)
#undef STAND_IN
