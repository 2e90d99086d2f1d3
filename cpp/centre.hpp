// Centre, scale and regions of the rows, estimated from a sample, and the rounding that all coders share.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scan.hpp"

namespace vicinal {

struct Centre {
    std::vector<double> centre;  // mean of the sampled rows without outliers
    double factor = 1;           // a power of two: the typical |x - centre| times factor is about 1
};

// How many rows the centre is estimated from: the median of each coordinate from some, the mean from more.
struct Sampled {
    int64_t medians = 256, means = 2048;
};

Centre find_centre(const Rows& rows, const RowOps& ops, const Sampled& sampled = {});

// The centres of a few tight regions far from each other that contain nearly all rows; empty where there are none. With
// one centre for all, the rows of a region would have equal codes.
std::vector<std::vector<double>> find_regions(const Rows& rows, const RowOps& ops);

// The floor of a value of 31 bits, without the call that std::floor is.
inline int32_t floored(double value) {
    const auto whole = static_cast<int32_t>(value);
    return whole - (value < whole);
}

// The highest threshold that is surely not above the value; kPassAll where the value is too low for 32 bits.
inline int32_t to_threshold(double value) {
    constexpr double kLimit = 1 << 29;
    const bool within = value > -kLimit;
    return within ? floored(std::min(within ? value : 0, kLimit)) - 2 : kPassAll;
}

inline float round_up(double value) {
    const float rounded = static_cast<float>(value);
    return rounded < value ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

// Rounds down to float32, with a margin at the ends of its range. NaN becomes -infinity, which bounds nothing.
inline float round_down(double value) {
    if (!(value > -1e38)) return -std::numeric_limits<float>::infinity();
    return static_cast<float>(std::min(value - std::abs(value) * 2e-7 - 1e-37, 1e38));
}

}  // namespace vicinal
