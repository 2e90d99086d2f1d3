// Where the rows lie and how large they are, from a sample; and the roundings that all coders share.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scan.hpp"

namespace vicinal {

struct Centre {
    std::vector<double> centre;  // the mean of the sample's rows that are not far out
    double factor = 1;           // a power of two that makes the usual |x - centre| about 1
};

Centre find_centre(const Rows& rows, const RowOps& ops);

// The centres of a few tight and far regions that nearly all rows lie in, or nothing: codes made from one centre
// would not tell the rows of a region apart.
std::vector<std::vector<double>> find_regions(const Rows& rows, const RowOps& ops);

// A floor no higher than the value, or the one that every score reaches.
inline int32_t as_floor(double value) {
    constexpr double kLimit = 1 << 29;
    if (!(value > -kLimit)) return kEverything;
    return value >= kLimit ? static_cast<int32_t>(kLimit) : static_cast<int32_t>(std::floor(value)) - 2;
}

inline float round_up(double value) {
    const float rounded = static_cast<float>(value);
    return rounded < value ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

// In float32 and no higher: where float32 ends, and where it begins, a little lower. What is no number bounds nothing.
inline float round_down(double value) {
    if (!(value > -1e38)) return -std::numeric_limits<float>::infinity();
    return static_cast<float>(std::min(value - std::abs(value) * 2e-7 - 1e-37, 1e38));
}

}  // namespace vicinal
