// Where the rows lie and how large they are, from a sample; and the roundings that all coders share.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "scan.hpp"

namespace vicinal {

struct Centre {
    std::vector<double> centre;  // the sample's mean
    double peak = 0;             // the sample's largest |x - centre|
    double factor = 1;           // a power of two that makes it about 1
};

inline Centre find_centre(const Rows& rows, const RowOps& ops) {
    constexpr int64_t kSampleRows = 4096;
    const int64_t dim = rows.matrix.dim, n = rows.matrix.n_vectors, sampled = std::min(n, kSampleRows);
    Centre found;
    found.centre.resize(padded(dim, 8));
    std::vector<double> x(padded(dim, 8));
    for (int64_t i = 0; i < sampled; ++i) {
        ops.load(rows, i * n / sampled, x.data());
        for (int64_t c = 0; c < dim; ++c) found.centre[c] += x[c] / static_cast<double>(sampled);
    }
    for (double& c : found.centre) {
        if (!std::isfinite(c)) c = 0;
    }
    for (int64_t i = 0; i < sampled; ++i) {
        ops.load(rows, i * n / sampled, x.data());
        const double peak = ops.peak(x.data(), found.centre.data(), dim);
        if (std::isfinite(peak)) found.peak = std::max(found.peak, peak);
    }
    if (found.peak > 0) found.factor = std::ldexp(1.0, -std::clamp(std::ilogb(found.peak), -400, 1000));
    return found;
}

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

// In float32 and no higher: where float32 ends, and where it begins, a little lower.
inline float round_down(double value) {
    const double below = std::min(value - std::abs(value) * 2e-7 - 1e-37, 1e38);
    return below < -1e38 ? -std::numeric_limits<float>::infinity() : static_cast<float>(below);
}

}  // namespace vicinal
