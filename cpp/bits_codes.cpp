// See bits_codes.hpp.
#include "bits_codes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "centre.hpp"

namespace vicinal {
namespace {

constexpr double kAllBits = 1 << 28;
constexpr int32_t kWhole = 1 << 16;

}  // namespace

BitsCoder::BitsCoder(const Rows& rows, Metric metric) : jaccard_(metric == Metric::jaccard), dim_(rows.matrix.dim) {
    if (dim_ > static_cast<int64_t>(kAllBits) / 8)
        throw std::invalid_argument("vectors: expected at most 2^25 bytes in a row, got " + std::to_string(dim_));
}

void BitsCoder::encode(const Rows& rows, const int32_t* which, int n, int, double, CodedBlock& out) const {
    const int64_t bytes = row_bytes(), padded_rows = coded_rows(n);
    out.codes.assign(padded_rows * bytes, 0);
    out.squared_norms.assign(padded_rows, 0);
    out.sums.assign(padded_rows, 0);
    out.slacks.assign(padded_rows, 0);
    out.shifts.assign(padded_rows, 0);
    out.stats = {};
    for (int i = 0; i < n; ++i) {
        int8_t* code = &out.codes[i * bytes];
        const std::byte* row = rows.at(which[i]);
        for (int64_t c = 0; c < dim_; ++c) std::memcpy(code + c, row + c * rows.matrix.column_stride, 1);
        int32_t ones = 0;
        for (int64_t c = 0; c < bytes; c += 8) {
            uint64_t word;
            std::memcpy(&word, code + c, 8);
            ones += std::popcount(word);
        }
        out.squared_norms[i] = ones;
    }
    out.stats.size = n;
    out.stats.squared_norms = out.squared_norms.data();
    out.stats.sums = out.sums.data();
    out.stats.slacks = out.slacks.data();
    out.stats.shifts = out.shifts.data();
}

// The threshold of a row: for Hamming the negated highest number of differing bits, for Jaccard the highest share.
int32_t BitsCoder::threshold(double radius) const {
    if (!jaccard_) return radius < 0 ? kPassNone : -static_cast<int32_t>(std::min(std::floor(radius), kAllBits));
    if (!(radius < 1)) return kWhole;
    const double share = std::max(radius, 0.0) / (2 - std::max(radius, 0.0));
    return static_cast<int32_t>(std::ceil(share * kWhole * (1 + 1e-12)));
}

bool BitsCoder::thresholds(const BlockStats& rows, const double* row_radii, const BlockStats& columns,
                           const double* column_radii, Thresholds& row_thresholds,
                           Thresholds& column_thresholds) const {
    const auto fill = [&](const BlockStats& stats, const double* radii, Thresholds& thresholds) {
        for (int i = 0; i < stats.size; ++i) {
            thresholds.base[i] = jaccard_ ? stats.squared_norms[i] : 0;
            thresholds.least_score[i] = threshold(radii[i]);
        }
        std::fill(thresholds.base.begin() + stats.size, thresholds.base.end(), 0);
        std::fill(thresholds.least_score.begin() + stats.size, thresholds.least_score.end(), jaccard_ ? 0 : kPassNone);
    };
    fill(rows, row_radii, row_thresholds);
    fill(columns, column_radii, column_thresholds);
    return true;
}

void BitsCoder::lower_bounds(const BlockStats& rows, const BlockStats& columns, int first_column,
                             const Survivor* survivors, size_t n, float* out) const {
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        double bound = -static_cast<double>(s.score);
        if (jaccard_) {
            const double ones =
                static_cast<double>(rows.squared_norms[s.row]) + columns.squared_norms[first_column + s.column];
            bound = s.score == 0 ? 0 : 2 * bound / (ones + bound) * (1 - 1e-7);
        }
        out[i] = round_down(bound);
    }
}

double BitsCoder::upper_bound(const BlockStats& rows, int row, const BlockStats& columns, int32_t score) const {
    if (!jaccard_) return -static_cast<double>(score);
    if (score == 0) return 0;
    // The distance is largest for the column with the fewest ones.
    const double own = rows.squared_norms[row], differing = -static_cast<double>(score);
    const double least = *std::min_element(columns.squared_norms, columns.squared_norms + columns.size);
    return std::min(1.0, 2 * differing / (own + least + differing) * (1 + 1e-12));
}

}  // namespace vicinal
