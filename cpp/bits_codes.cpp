// See bits_codes.hpp.
#include "bits_codes.hpp"

#include <algorithm>
#include <cmath>

#include "centre.hpp"

namespace vicinal {

void BitsCoder::code(const Rows& rows, const int32_t* which, int n, double, CodedBlock& out) const {
    const int64_t bytes = row_bytes(), padded_rows = padded(n, kRowStep);
    out.codes.assign(padded_rows * bytes, 0);
    out.squared_norms.assign(padded_rows, 0);
    out.sums.assign(padded_rows, 0);
    out.slacks.assign(padded_rows, 0);
    std::vector<double> x(padded(dim_, 8));
    Side side;
    side.size = n;
    for (int i = 0; i < n; ++i) {
        ops_.load(rows, which[i], x.data());
        int32_t set = 0;
        for (int64_t c = 0; c < dim_; ++c) {
            const auto byte = static_cast<uint8_t>(x[c]);
            out.codes[i * bytes + c] = static_cast<int8_t>(byte);
            set += __builtin_popcount(byte);
        }
        out.squared_norms[i] = set;
        side.fewest_bits = i ? std::min(side.fewest_bits, set) : set;
        side.most_bits = std::max(side.most_bits, set);
    }
    side.squared_norms = out.squared_norms.data();
    side.sums = out.sums.data();
    side.slacks = out.slacks.data();
    out.side = side;
}

bool BitsCoder::keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
                     Keys& row_keys, Keys& column_keys) const {
    const auto fill = [&](const Side& own, const double* radii, const Side& other, Keys& keys) {
        std::fill(keys.base.begin(), keys.base.end(), 0);
        std::fill(keys.floor.begin(), keys.floor.end(), kNothing);
        for (int i = 0; i < own.size; ++i) {
            if (radii[i] < 0) continue;
            if (jaccard_) {
                if (radii[i] >= 1) {
                    keys.floor[i] = kEverything;
                    continue;
                }
                const double share = (1 - radii[i]) / (2 - radii[i]) * (1 - 1e-9);
                keys.floor[i] = static_cast<int32_t>(std::ceil(share * (own.squared_norms[i] + other.fewest_bits) - 1e-6));
            } else {
                keys.floor[i] = radii[i] < (1 << 29) ? -static_cast<int32_t>(radii[i]) : kEverything;
            }
        }
    };
    fill(rows, row_radii, columns, row_keys);
    fill(columns, column_radii, rows, column_keys);
    return true;
}

void BitsCoder::lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
                      float* out) const {
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        if (!jaccard_) {
            out[i] = static_cast<float>(-s.score) * (1 - 2e-7f);
            continue;
        }
        const int32_t either = rows.squared_norms[s.row] + columns.squared_norms[first_column + s.column] - s.score;
        out[i] = either > 0 ? (1 - static_cast<float>(s.score) / static_cast<float>(either)) - 1e-6f : 0.0f;
    }
}

double BitsCoder::upper(const Side& rows, int row, const Side& columns, int32_t score) const {
    if (!jaccard_) return -static_cast<double>(score);
    const int32_t either = rows.squared_norms[row] + columns.most_bits - score;
    return either > 0 ? 1 - static_cast<double>(score) / either + 1e-9 : 0.0;
}

}  // namespace vicinal
