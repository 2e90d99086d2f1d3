// See absolute_codes.hpp.
#include "absolute_codes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "centre.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int kHighest = 127;

}  // namespace

AbsoluteCoder::AbsoluteCoder(const Rows& rows, const RowOps& ops) : ops_(ops), dim_(rows.matrix.dim) {
    const Centre found = find_centre(rows, ops);
    centre_ = found.centre;
    factor_ = found.factor;
    scale_ = found.peak > 0 ? static_cast<float>(found.peak * factor_ / kHighest) : 1.0f;
}

double AbsoluteCoder::peak(const Rows&, int64_t) const { return 0; }

void AbsoluteCoder::code(const Rows& rows, const int32_t* which, int n, double, CodedBlock& out) const {
    const int64_t bytes = row_bytes(), padded_rows = padded(n, kRowStep);
    out.codes.assign(padded_rows * bytes, 0);
    out.squared_norms.assign(padded_rows, 0);
    out.sums.assign(padded_rows, 0);
    out.slacks.assign(padded_rows, 0);
    std::vector<double> x(padded(dim_, 8));
    std::vector<float> moved(x.size());
    std::vector<int8_t> code(x.size());
    Side side;
    const float limit = scale_ * kHighest;
    for (int i = 0; i < n; ++i) {
        ops_.load(rows, which[i], x.data());
        ops_.centred(x.data(), centre_.data(), factor_, dim_, moved.data());
        double cut = 0, length = 0;
        for (float& v : moved) {
            const float kept = v > limit ? limit : v < -limit ? -limit : v == v ? v : 0.0f;
            cut += std::fabs(static_cast<double>(v) - kept);
            length += std::fabs(static_cast<double>(v));
            v = kept;
        }
        const CodedRow row = ops_.quantise(moved.data(), dim_, scale_, code.data());
        for (int64_t c = 0; c < dim_; ++c) out.codes[i * bytes + c] = static_cast<int8_t>(code[c] + 128);
        const auto dim = static_cast<double>(dim_);
        double slack = (cut + row.residual_l1 * (1 + (dim / 8 + 32) * 0x1p-23)) * (1 + 1e-6) +
                       (length + row.residual_l1) * 0x1p-20 + dim * 0x1p-70;
        if (!(slack < kInfinity)) slack = kInfinity;
        out.slacks[i] = round_up(slack);
        side.slack_highest = std::max<double>(side.slack_highest, out.slacks[i]);
    }
    side.size = n;
    side.scale = scale_;
    side.squared_norms = out.squared_norms.data();
    side.sums = out.sums.data();
    side.slacks = out.slacks.data();
    out.side = side;
}

double AbsoluteCoder::radius(double distance) const { return (distance * (1 + 1e-9) + 1e-150) * factor_; }

double AbsoluteCoder::nowhere() const { return -kInfinity; }

bool AbsoluteCoder::keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
                         Keys& row_keys, Keys& column_keys) const {
    const auto fill = [&](const Side& own, const double* radii, const Side& other, Keys& keys) {
        std::fill(keys.base.begin(), keys.base.end(), 0);
        std::fill(keys.floor.begin(), keys.floor.end(), kNothing);
        for (int i = 0; i < own.size; ++i) {
            if (radii[i] < 0) continue;
            keys.floor[i] = as_floor(-(radii[i] + own.slacks[i] + other.slack_highest) / scale_);
        }
    };
    fill(rows, row_radii, columns, row_keys);
    fill(columns, column_radii, rows, column_keys);
    return true;
}

void AbsoluteCoder::lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
                          float* out) const {
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        const double slack = static_cast<double>(rows.slacks[s.row]) + columns.slacks[first_column + s.column];
        const double bound = -static_cast<double>(s.score) * scale_ - slack * (1 + 1e-13);
        out[i] = round_down(bound);
    }
}

double AbsoluteCoder::upper(const Side& rows, int row, const Side& columns, int32_t score) const {
    const double radius = -static_cast<double>(score) * scale_ + rows.slacks[row] + columns.slack_highest;
    const double distance = radius / factor_ * (1 + 1e-8) + 1e-150;
    return distance < 1e300 ? distance : kInfinity;
}

}  // namespace vicinal
