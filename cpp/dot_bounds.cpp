// The thresholds and bounds of the dot kernel; dot_codes.hpp gives the proof.
#include <algorithm>
#include <cmath>
#include <limits>

#include "centre.hpp"
#include "coarse.hpp"
#include "dot_codes.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kBaseLimit = 1 << 28;
constexpr double kRounded = 2.001;  // the error of two bases, each rounded by less than one

}  // namespace

double DotCoder::radius_of(double distance) const {
    switch (metric_) {
        case Metric::inner_product: return distance * factor_ * factor_;
        case Metric::sqeuclidean: distance = std::sqrt(distance); break;
        case Metric::cosine: distance = std::sqrt(2 * distance); break;
        default: break;
    }
    return (distance * (1 + 1e-9) + 1e-150) * factor_;
}

double DotCoder::empty_radius() const { return -kInfinity; }

double DotCoder::distance_of(double sum) const {
    switch (metric_) {
        case Metric::inner_product: return -sum;
        case Metric::sqeuclidean: return sum;
        case Metric::cosine: return sum / 2;
        default: return std::sqrt(sum);
    }
}

// Upper bound of the error of the inner product of the row and any of the columns, computed from codes and shifts.
double DotCoder::allowance(const BlockStats& rows, int row, const BlockStats& columns) const {
    if (!(rows.slacks[row] < kInfinity && columns.max_slack < kInfinity)) return kInfinity;
    const double length = rows.scale * std::sqrt(square_of(rows, row)) * (1 + 1e-12);
    return length * columns.max_slack + rows.slacks[row] * (columns.max_length + columns.max_slack) +
           (static_cast<double>(dim_) + 64) * 0x1p-50 * rows.max_norm * columns.max_norm + 1e-290 * factor_ * factor_;
}

namespace {

constexpr double kLengthError = 0x1p-19;  // relative error of a stored length and of its square
constexpr double kShortest = 0x1p-60;     // below it the error of float32 may be larger

// A base of at least -`value`, or what cannot be a base where the row has no length.
int32_t negated(double value) {
    const bool within = value > -kBaseLimit;
    return within ? -floored(std::min(within ? value : 0, kBaseLimit)) : 0;
}

// Whether the bound from the lengths is better than that of the triangle inequality.
bool lengths_differ(const BlockStats& rows, const BlockStats& columns) {
    if (!rows.lengths || !columns.lengths) return false;
    const auto [less, more] = std::minmax(rows.longest, columns.longest);
    return more > 4 * less && less > 0x1p-50 && more < kInfinity;
}

// Lower bound, from the lengths only, of the distance between a row of this length and any row of the other block.
double length_bound(double length, const BlockStats& other) {
    return std::max(length * (1 - kLengthError) - other.longest * (1 + kLengthError),
                    other.shortest * (1 - kLengthError) - length * (1 + kLengthError)) -
           kShortest;
}

}  // namespace

void DotCoder::thresholds_by_products(const BlockStats& own, const double* radii, const BlockStats& other,
                                      Thresholds& thresholds, bool& unclipped) const {
    const double unit = own.scale * other.scale, highest = own.max_shift + other.max_shift;
    for (int i = 0; i < own.size; ++i) {
        const double base = std::ceil((own.shifts[i] - own.max_shift) / unit + share_of(own, i));
        unclipped &= base >= -kBaseLimit;
        thresholds.base[i] = static_cast<int32_t>(std::max(base, -kBaseLimit));
        const double threshold = (-radii[i] - allowance(own, i, other) - highest) / unit;
        thresholds.least_score[i] = radii[i] == -kInfinity ? kPassNone : to_threshold(threshold);
    }
}

void DotCoder::thresholds_by_distances(const BlockStats& own, const double* radii, const BlockStats& other,
                                       Thresholds& thresholds, bool& unclipped) const {
    const double half = own.scale / other.scale / 2, inverse = 1 / (2 * own.scale * other.scale);
    if (own.region != other.region) {
        const double away = centre_distance(own, other) - other.longest * (1 + kLengthError) - kShortest;
        unclipped = false;
        for (int i = 0; i < own.size; ++i) {
            const bool out = radii[i] < 0 || away - own.lengths[i] * (1 + kLengthError) > radii[i];
            thresholds.base[i] = 0;
            thresholds.least_score[i] = out ? kPassNone : kPassAll;
        }
        return;
    }
    if (lengths_differ(own, other)) {
        for (int i = 0; i < own.size; ++i) {
            const double length = own.lengths[i],
                         base = length * length * (1 - kLengthError) * inverse - share_of(own, i);
            unclipped &= base <= kBaseLimit;
            thresholds.base[i] = negated(base);
            const double threshold = -(radii[i] * radii[i] + 2 * allowance(own, i, other)) * inverse;
            thresholds.least_score[i] = radii[i] < 0 ? kPassNone : to_threshold(threshold);
        }
    } else {
        for (int i = 0; i < own.size; ++i) {
            const double base = square_of(own, i) * half - share_of(own, i);
            unclipped &= base <= kBaseLimit;
            thresholds.base[i] = negated(base);
            const double bound = radii[i] + own.slacks[i] + other.max_slack;
            thresholds.least_score[i] = radii[i] < 0 ? kPassNone : to_threshold(-bound * bound * inverse);
        }
    }
    if (!own.lengths || !other.lengths) return;
    for (int i = 0; i < own.size; ++i) {
        if (length_bound(own.lengths[i], other) > radii[i]) thresholds.least_score[i] = kPassNone;
    }
}

bool DotCoder::thresholds(const BlockStats& rows, const double* row_radii, const BlockStats& columns,
                          const double* column_radii, Thresholds& row_thresholds, Thresholds& column_thresholds) const {
    bool unclipped = true;
    const auto fill = [&](const BlockStats& own, const double* radii, const BlockStats& other, Thresholds& thresholds) {
        if (metric_ == Metric::inner_product) thresholds_by_products(own, radii, other, thresholds, unclipped);
        else thresholds_by_distances(own, radii, other, thresholds, unclipped);
        thresholds.any = std::any_of(thresholds.least_score.begin(), thresholds.least_score.begin() + own.size,
                                     [](int32_t f) { return f != kPassNone; });
    };
    fill(rows, row_radii, columns, row_thresholds);
    fill(columns, column_radii, rows, column_thresholds);
    // The scan raises the codes of columns, which adds so many times the sum of the row's codes to each product.
    for (int i = 0; i < rows.size; ++i) {
        row_thresholds.base[i] -= rows.offset * rows.sums[i];
        row_thresholds.least_score[i] -= row_thresholds.base[i];
    }
    for (size_t i = rows.size; i < row_thresholds.base.size(); ++i) {
        row_thresholds.base[i] = 0;
        row_thresholds.least_score[i] = kPassNone;
    }
    for (size_t i = columns.size; i < column_thresholds.base.size(); ++i) {
        column_thresholds.base[i] = -static_cast<int32_t>(kBaseLimit);
        column_thresholds.least_score[i] = kPassNone;
    }
    return unclipped;
}

// Upper bound of the computed distance of all pairs whose exact distance is at most this radius. Infinity near the end
// of float64, where squares overflow.
double DotCoder::distance_within(double radius) const {
    const double distance = radius / factor_ * (1 + 1e-8) + 1e-150;
    if (!(distance < 1e150)) return kInfinity;
    switch (metric_) {
        case Metric::sqeuclidean: return distance * distance;
        case Metric::cosine: return distance * distance / 2;
        default: return distance;
    }
}

double DotCoder::upper_bound(const BlockStats& rows, int row, const BlockStats& columns, int32_t score) const {
    const double unit = rows.scale * columns.scale;
    if (metric_ == Metric::inner_product) {
        const double product = unit * (score - kRounded) + rows.max_shift + columns.max_shift;
        return (allowance(rows, row, columns) - product) / (factor_ * factor_);
    }
    double squared = std::max(0.0, 2 * unit * (kRounded - static_cast<double>(score)));
    if (lengths_differ(rows, columns)) {
        const double lengths = rows.longest * rows.longest + columns.longest * columns.longest;
        squared += 2 * allowance(rows, row, columns) + 4 * kLengthError * lengths;
        return distance_within(std::sqrt(squared));
    }
    return distance_within(std::sqrt(squared) + rows.slacks[row] + columns.max_slack);
}

void DotCoder::lower_bounds(const BlockStats& rows, const BlockStats& columns, int first_column,
                            const Survivor* survivors, size_t n, float* out) const {
    const double unit = rows.scale * columns.scale;
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        double bound;
        if (metric_ == Metric::inner_product) {
            const double product = unit * s.score + rows.max_shift + columns.max_shift;
            bound = -(product + allowance(rows, s.row, columns));
        } else if (rows.region != columns.region) {
            const double lengths = static_cast<double>(rows.lengths[s.row]) + columns.lengths[first_column + s.column];
            bound = centre_distance(rows, columns) - lengths * (1 + kLengthError) - kShortest;
            if (!(bound > 0)) bound = 0;
        } else if (lengths_differ(rows, columns)) {
            bound = std::sqrt(std::max(0.0, -2 * unit * s.score - 2 * allowance(rows, s.row, columns))) * (1 - 1e-13);
        } else {
            const double slack = static_cast<double>(rows.slacks[s.row]) + columns.slacks[first_column + s.column];
            bound = std::sqrt(std::max(0.0, -2 * unit * s.score)) * (1 - 1e-13) - slack * (1 + 1e-13);
        }
        out[i] = round_down(bound);
    }
}

// As upper_bound, with the slack of each column. The last step adds more than distance_within, radius_of and the
// rounding to float32 do.
void DotCoder::upper_bounds(const BlockStats& rows, const BlockStats& columns, int first_column,
                            const Survivor* survivors, size_t n, float* out) const {
    if (metric_ == Metric::inner_product || rows.region != columns.region || lengths_differ(rows, columns)) {
        return Coder::upper_bounds(rows, columns, first_column, survivors, n, out);
    }
    const double unit = 2 * rows.scale * columns.scale, least = 3e-150 * factor_ + 1e-44, highest = 1e149 * factor_;
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        const double slack = static_cast<double>(rows.slacks[s.row]) + columns.slacks[first_column + s.column];
        const double radius = std::sqrt(std::max(0.0, unit * (kRounded - static_cast<double>(s.score)))) + slack;
        out[i] =
            radius < highest ? static_cast<float>(radius * (1 + 2e-7) + least) : std::numeric_limits<float>::infinity();
    }
}

}  // namespace vicinal
