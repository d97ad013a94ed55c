// What every unit of the kernels shares: names, and the rules that keep bits the same everywhere.
//
// Every output is one chain of operations in a declared order, each rounded as IEEE 754 has it. A fused
// multiply-add is written as one (fused_f, fused_d, or `fused` of vector.h) and nothing else is contracted
// (-ffp-contract=off), so results depend neither on the vector width nor on how rows or runs are grouped.
// A sum over samples has LANES partial sums, lane i taking elements i, i + LANES, ..., and one tree over the
// lanes; or it is sequential.
#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef ISA
#error "compile with -DISA=avx512, avx2, neon or plain"
#endif

#define JOINED_(a, b, c) a##b##c
#define JOINED(a, b, c) JOINED_(a, b, c)
// A function that Python calls: rlcli_NAME_ISA; NAME may be F(...).
#define EXPORT_(name) __attribute__((visibility("default"))) JOINED(rlcli_##name, _, ISA)
#define EXPORT(name) EXPORT_(name)
#define INLINE static inline __attribute__((always_inline))

// Where a product's sums start.
enum { FROM_ZERO, FROM_BIAS, FROM_TOTAL };

INLINE float fused_f(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
INLINE double fused_d(double a, double b, double c) { return __builtin_fma(a, b, c); }

// Units are included once for each precision, with REAL defined; F(name) is name_f or name_d.
#define SUFFIXED_(name, suffix) name##suffix
#define SUFFIXED(name, suffix) SUFFIXED_(name, suffix)
#define F(name) SUFFIXED(name, SUFFIX)
// A function that Python calls, of such a unit: rlcli_NAME_f_ISA or rlcli_NAME_d_ISA.
#define EXPORT_REAL(name) __attribute__((visibility("default"))) JOINED(F(rlcli_##name), _, ISA)
