// Sums in float64 in one declared order, over whatever samples a unit has.
//
// Lane i of 8 takes elements i, i + 8, ..., each added with one rounding; then one tree over the lanes:
// ((0 + 4) + (2 + 6)) + ((1 + 5) + (3 + 7)).
#pragma once

#define SUM_LANES 8

INLINE double tree_of_lanes(const double *lane) {
  const double even = (lane[0] + lane[4]) + (lane[2] + lane[6]);
  return even + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

// Sets `result`, a double, to the sum of TERM(i), doubles, over 0 <= i < count. A term reads memory without
// conditions: GCC 12 vectorises sums of what is read under a condition wrongly.
#define SUM(result, count, TERM)                                             \
  do {                                                                       \
    double lane_[SUM_LANES] = {0};                                           \
    const long whole_ = (count) / SUM_LANES * SUM_LANES;                     \
    for (long i_ = 0; i_ < whole_; i_ += SUM_LANES)                          \
      for (int l_ = 0; l_ < SUM_LANES; l_++) lane_[l_] += TERM(i_ + l_);     \
    for (long i_ = whole_; i_ < (count); i_++) lane_[i_ - whole_] += TERM(i_); \
    (result) = tree_of_lanes(lane_);                                         \
  } while (0)
