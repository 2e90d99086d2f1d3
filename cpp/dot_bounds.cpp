// The thresholds and bounds of the dot kernel; dot_codes.hpp gives the proof.
#include <algorithm>
#include <cmath>
#include <limits>

#include "centre.hpp"
#include "dot_codes.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kBaseLimit = 1 << 28;
constexpr double kRounded = 2.001;  // two bases, each rounded by less than one

}  // namespace

double DotCoder::radius(double distance) const {
    switch (metric_) {
        case Metric::inner_product: return distance * factor_ * factor_;
        case Metric::sqeuclidean: distance = std::sqrt(distance); break;
        case Metric::cosine: distance = std::sqrt(2 * distance); break;
        default: break;
    }
    return (distance * (1 + 1e-9) + 1e-150) * factor_;
}

double DotCoder::nowhere() const { return -kInfinity; }

double DotCoder::finish(double sum) const {
    switch (metric_) {
        case Metric::inner_product: return -sum;
        case Metric::sqeuclidean: return sum;
        case Metric::cosine: return sum / 2;
        default: return std::sqrt(sum);
    }
}

// How far the true inner product of the row with any of the columns can lie from what codes and shifts say.
double DotCoder::allowance(const Side& rows, int row, const Side& columns) const {
    if (!(rows.slacks[row] < kInfinity && columns.slack_highest < kInfinity)) return kInfinity;
    const double length = rows.scale * std::sqrt(static_cast<double>(rows.squared_norms[row])) * (1 + 1e-12);
    return length * columns.slack_highest + rows.slacks[row] * (columns.length_highest + columns.slack_highest) +
           (static_cast<double>(dim_) + 64) * 0x1p-50 * rows.reach * columns.reach + 1e-290 * factor_ * factor_;
}

namespace {

constexpr double kLengthError = 0x1p-19;  // of a true length as it is kept, and of its square
constexpr double kShortest = 0x1p-60;     // below it float32 may lose more

// Whether true lengths tell more than the triangle inequality does.
bool by_lengths(const Side& rows, const Side& columns) {
    if (!rows.lengths || !columns.lengths) return false;
    const auto [less, more] = std::minmax(rows.longest, columns.longest);
    return more > 4 * less && less > 0x1p-50 && more < kInfinity;
}

// What lengths alone say: at least so far is a row of this length from every row of the other block.
double beyond(double length, const Side& other) {
    return std::max(length * (1 - kLengthError) - other.longest * (1 + kLengthError),
                    other.shortest * (1 - kLengthError) - length * (1 + kLengthError)) -
           kShortest;
}

}  // namespace

void DotCoder::keys_by_products(const Side& own, const double* radii, const Side& other, Keys& keys,
                                bool& whole) const {
    const double unit = own.scale * other.scale, highest = own.shift_highest + other.shift_highest;
    for (int i = 0; i < own.size; ++i) {
        const double base = std::ceil((own.shifts[i] - own.shift_highest) / unit);
        whole &= base >= -kBaseLimit;
        keys.base[i] = static_cast<int32_t>(std::max(base, -kBaseLimit));
        const double floor = (-radii[i] - allowance(own, i, other) - highest) / unit;
        keys.floor[i] = radii[i] == -kInfinity ? kNothing : as_floor(floor);
    }
}

void DotCoder::keys_by_distances(const Side& own, const double* radii, const Side& other, Keys& keys,
                                 bool& whole) const {
    const double half = own.scale / other.scale / 2, inverse = 1 / (2 * own.scale * other.scale);
    if (own.region != other.region) {
        const double away = apart(own, other) - other.longest * (1 + kLengthError) - kShortest;
        whole = false;
        for (int i = 0; i < own.size; ++i) {
            const bool out = radii[i] < 0 || away - own.lengths[i] * (1 + kLengthError) > radii[i];
            keys.base[i] = 0;
            keys.floor[i] = out ? kNothing : kEverything;
        }
        return;
    }
    if (by_lengths(own, other)) {
        for (int i = 0; i < own.size; ++i) {
            const double length = own.lengths[i], base = length * length * (1 - kLengthError) * inverse;
            whole &= base <= kBaseLimit;
            keys.base[i] = base > 0 ? -static_cast<int32_t>(std::min(base, kBaseLimit)) : 0;
            const double floor = -(radii[i] * radii[i] + 2 * allowance(own, i, other)) * inverse;
            keys.floor[i] = radii[i] < 0 ? kNothing : as_floor(floor);
        }
    } else {
        for (int i = 0; i < own.size; ++i) {
            const double base = own.squared_norms[i] * half;
            whole &= base <= kBaseLimit;
            keys.base[i] = -static_cast<int32_t>(std::min(base, kBaseLimit));
            const double reach = radii[i] + own.slacks[i] + other.slack_highest;
            keys.floor[i] = radii[i] < 0 ? kNothing : as_floor(-reach * reach * inverse);
        }
    }
    if (!own.lengths || !other.lengths) return;
    for (int i = 0; i < own.size; ++i) {
        if (beyond(own.lengths[i], other) > radii[i]) keys.floor[i] = kNothing;
    }
}

bool DotCoder::keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
                    Keys& row_keys, Keys& column_keys) const {
    bool whole = true;
    const auto fill = [&](const Side& own, const double* radii, const Side& other, Keys& keys) {
        if (metric_ == Metric::inner_product) keys_by_products(own, radii, other, keys, whole);
        else keys_by_distances(own, radii, other, keys, whole);
        keys.some =
            std::any_of(keys.floor.begin(), keys.floor.begin() + own.size, [](int32_t f) { return f != kNothing; });
    };
    fill(rows, row_radii, columns, row_keys);
    fill(columns, column_radii, rows, column_keys);
    // The panel's codes are unsigned, 128 too high: what that adds to a product depends on the row alone.
    for (int i = 0; i < rows.size; ++i) {
        row_keys.base[i] -= 128 * rows.sums[i];
        row_keys.floor[i] -= row_keys.base[i];
    }
    for (size_t i = rows.size; i < row_keys.base.size(); ++i) {
        row_keys.base[i] = 0;
        row_keys.floor[i] = kNothing;
    }
    for (size_t i = columns.size; i < column_keys.base.size(); ++i) {
        column_keys.base[i] = -static_cast<int32_t>(kBaseLimit);
        column_keys.floor[i] = kNothing;
    }
    return whole;
}

// A distance that no computed distance of a pair exceeds whose true one is at most this radius. Where squares come near
// the end of float64 a computed distance may be infinite.
double DotCoder::distance_within(double radius) const {
    const double distance = radius / factor_ * (1 + 1e-8) + 1e-150;
    if (!(distance < 1e150)) return kInfinity;
    switch (metric_) {
        case Metric::sqeuclidean: return distance * distance;
        case Metric::cosine: return distance * distance / 2;
        default: return distance;
    }
}

double DotCoder::upper(const Side& rows, int row, const Side& columns, int32_t score) const {
    const double unit = rows.scale * columns.scale;
    if (metric_ == Metric::inner_product) {
        const double product = unit * (score - kRounded) + rows.shift_highest + columns.shift_highest;
        return (allowance(rows, row, columns) - product) / (factor_ * factor_);
    }
    double squared = std::max(0.0, 2 * unit * (kRounded - static_cast<double>(score)));
    if (by_lengths(rows, columns)) {
        const double lengths = rows.longest * rows.longest + columns.longest * columns.longest;
        squared += 2 * allowance(rows, row, columns) + 4 * kLengthError * lengths;
        return distance_within(std::sqrt(squared));
    }
    return distance_within(std::sqrt(squared) + rows.slacks[row] + columns.slack_highest);
}

void DotCoder::lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
                     float* out) const {
    const double unit = rows.scale * columns.scale;
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        double bound;
        if (metric_ == Metric::inner_product) {
            const double product = unit * s.score + rows.shift_highest + columns.shift_highest;
            bound = -(product + allowance(rows, s.row, columns));
        } else if (rows.region != columns.region) {
            const double lengths = static_cast<double>(rows.lengths[s.row]) + columns.lengths[first_column + s.column];
            bound = apart(rows, columns) - lengths * (1 + kLengthError) - kShortest;
            if (!(bound > 0)) bound = 0;
        } else if (by_lengths(rows, columns)) {
            bound = std::sqrt(std::max(0.0, -2 * unit * s.score - 2 * allowance(rows, s.row, columns))) * (1 - 1e-13);
        } else {
            const double slack = static_cast<double>(rows.slacks[s.row]) + columns.slacks[first_column + s.column];
            bound = std::sqrt(std::max(0.0, -2 * unit * s.score)) * (1 - 1e-13) - slack * (1 + 1e-13);
        }
        out[i] = round_down(bound);
    }
}

}  // namespace vicinal
