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
    if (dim_ > static_cast<int64_t>(kAllBits) / 8) throw std::invalid_argument("vectors: too many bits in a row");
}

void BitsCoder::code(const Rows& rows, const int32_t* which, int n, int, double, CodedBlock& out) const {
    const int64_t bytes = row_bytes(), padded_rows = coded_rows(n);
    out.codes.assign(padded_rows * bytes, 0);
    out.squared_norms.assign(padded_rows, 0);
    out.sums.assign(padded_rows, 0);
    out.slacks.assign(padded_rows, 0);
    out.shifts.assign(padded_rows, 0);
    out.side = {};
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
    out.side.size = n;
    out.side.squared_norms = out.squared_norms.data();
    out.side.sums = out.sums.data();
    out.side.slacks = out.slacks.data();
    out.side.shifts = out.shifts.data();
}

// The floor of a row: for Hamming the negated highest count, for Jaccard the highest share.
int32_t BitsCoder::threshold(double radius) const {
    if (!jaccard_) return radius < 0 ? kNothing : -static_cast<int32_t>(std::min(std::floor(radius), kAllBits));
    if (!(radius < 1)) return kWhole;
    const double share = std::max(radius, 0.0) / (2 - std::max(radius, 0.0));
    return static_cast<int32_t>(std::ceil(share * kWhole * (1 + 1e-12)));
}

bool BitsCoder::keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
                     Keys& row_keys, Keys& column_keys) const {
    const auto fill = [&](const Side& side, const double* radii, Keys& keys) {
        for (int i = 0; i < side.size; ++i) {
            keys.base[i] = jaccard_ ? side.squared_norms[i] : 0;
            keys.floor[i] = threshold(radii[i]);
        }
        std::fill(keys.base.begin() + side.size, keys.base.end(), 0);
        std::fill(keys.floor.begin() + side.size, keys.floor.end(), jaccard_ ? 0 : kNothing);
    };
    fill(rows, row_radii, row_keys);
    fill(columns, column_radii, column_keys);
    return true;
}

void BitsCoder::lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
                      float* out) const {
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

double BitsCoder::upper(const Side& rows, int row, const Side& columns, int32_t score) const {
    if (!jaccard_) return -static_cast<double>(score);
    if (score == 0) return 0;
    // Fewer ones in the column make the distance larger.
    const double own = rows.squared_norms[row], differing = -static_cast<double>(score);
    const double least = *std::min_element(columns.squared_norms, columns.squared_norms + columns.size);
    return std::min(1.0, 2 * differing / (own + least + differing) * (1 + 1e-12));
}

}  // namespace vicinal
