// Products and sums of columns in float64, always in the same order.
#pragma once

#include <cstdint>

namespace vicinal {

inline double product(const double* a, const double* b, int64_t n) {
    double lanes[8] = {};
    int64_t c = 0;
    for (; c + 8 <= n; c += 8) {
        for (int l = 0; l < 8; ++l) lanes[l] += a[c + l] * b[c + l];
    }
    for (; c < n; ++c) lanes[0] += a[c] * b[c];
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

inline void subtract(double factor, const double* x, double* from, int64_t n) {
    for (int64_t c = 0; c < n; ++c) from[c] -= factor * x[c];
}

}  // namespace vicinal
