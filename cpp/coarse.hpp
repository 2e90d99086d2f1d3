// Coarse codes: the seven upper bits of the codes of the dot kernel, for instruction sets that multiply bytes faster if
// one factor is below 128 and the other within 64 (avx2/coarse.cpp).
//
// A code q, of scale s, has the coarse code q' = floor(q / 2). The codes 2 q' and 2 q' + 1 share it, so it stands for
// the value between them, s (2 q' + 1/2) = s' (q' + m) with s' = 2 s and m = 1/4, `middle`. The proof of dot_codes.hpp
// holds for any values that a row is replaced by: with q' + m in the place of q, r = f (x - c) - s' (q' + m) and
// `slack` an upper bound of |r|, which is computed anew from the row. The length of r is about twice that of the codes,
// so more pairs pass; they are checked again with the codes, one at a time.
//
// Products. <q + m, q' + m> = <q, q'> + m sum(q) + m sum(q') + m^2 dim, so a base takes m sum(q) + m^2 dim / 2 more,
// and |q + m|^2 = |q|^2 + 2 m sum(q) + m^2 dim is exact in float64, since m is a power of two. In a panel a code is
// raised by 128 and halved by the scan, u = floor((q + 128) / 2) = q' + 64; rows are halved beforehand.
#pragma once

#include "coder.hpp"

namespace vicinal {

inline constexpr double kMiddle = 0.25;

inline int8_t halved(int8_t code) { return static_cast<int8_t>(code >> 1); }
inline void halve(int8_t* codes, int64_t n) {
    for (int64_t i = 0; i < n; ++i) codes[i] = halved(codes[i]);
}

// The squared length of what the codes of row i stand for, in units of the scale.
inline double square_of(const BlockStats& stats, int i) {
    return stats.squared_norms[i] +
           stats.middle * (2.0 * stats.sums[i] + stats.middle * static_cast<double>(stats.terms));
}

// What row i adds to the product of its codes with others to make it the product of what they stand for.
inline double share_of(const BlockStats& stats, int i) {
    return stats.middle * (stats.sums[i] + stats.middle * static_cast<double>(stats.terms) / 2);
}

}  // namespace vicinal
