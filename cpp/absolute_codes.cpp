// See absolute_codes.hpp.
#include "absolute_codes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "centre.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kSampleRows = 512;

double usable(double scale) { return scale >= 1e-290 && scale <= 1e290 ? scale : 1; }

}  // namespace

// Rows in float64, one after the other, without what is not finite.
struct AbsoluteCoder::Sample {
    int64_t size, width;
    std::vector<double> values;

    Sample(const Rows& rows, const RowOps& ops)
        : size(std::min(rows.matrix.n_vectors, kSampleRows)), width(padded(rows.matrix.dim, 8)), values(size * width) {
        for (int64_t i = 0; i < size; ++i) ops.load(rows, i * rows.matrix.n_vectors / size, &values[i * width]);
        for (double& value : values) {
            if (!std::isfinite(value)) value = 0;
        }
    }
    const double* row(int64_t i) const { return &values[i * width]; }
};

AbsoluteCoder::AbsoluteCoder(const Rows& rows, const RowOps& ops)
    : ops_(ops),
      dim_(rows.matrix.dim),
      // Sums of differences stay below 2^28.
      highest_(static_cast<double>(std::clamp<int64_t>((int64_t{1} << 28) / dim_, 1, 255))),
      range_{std::vector<double>(padded(dim_, 8)), 1},
      order_(dim_) {
    std::iota(order_.begin(), order_.end(), 0);
    if (rows.matrix.n_vectors > 0) choose(Sample(rows, ops_));
}

void AbsoluteCoder::choose(const Sample& sample) {
    // What any range may have: the middle of each coordinate, and the distances from it.
    std::vector<double> middle(sample.width), spread(dim_), column(sample.size), away;
    away.reserve(sample.size * dim_);
    double least = kInfinity, most = -kInfinity;
    bool whole = true;
    for (int64_t c = 0; c < dim_; ++c) {
        for (int64_t i = 0; i < sample.size; ++i) {
            column[i] = sample.row(i)[c];
            least = std::min(least, column[i]);
            most = std::max(most, column[i]);
            whole = whole && column[i] == std::nearbyint(column[i]);
        }
        std::nth_element(column.begin(), column.begin() + sample.size / 2, column.end());
        middle[c] = column[sample.size / 2];
        for (double value : column) {
            away.push_back(std::abs(value - middle[c]));
            spread[c] += away.back();
        }
    }
    std::stable_sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) { return spread[a] > spread[b]; });

    std::vector<Range> ranges;
    const bool exact = whole && most - least <= highest_;
    ranges.push_back({std::vector<double>(sample.width), exact ? 1 : usable((most - least) / highest_)});
    std::fill_n(ranges[0].low.begin(), dim_, least);
    if (!exact) {
        const auto count = static_cast<double>(away.size());
        for (const double outside : {0.0, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.5}) {
            const auto at = away.begin() + static_cast<int64_t>((count - 1) * (1 - outside));
            std::nth_element(away.begin(), at, away.end());
            Range range{std::vector<double>(sample.width), usable(2 * *at / highest_)};
            for (int64_t c = 0; c < dim_; ++c) range.low[c] = middle[c] - range.scale * highest_ / 2;
            ranges.push_back(std::move(range));
        }
    }
    double best = kInfinity;
    for (Range& range : ranges) {
        const double lost = ranges.size() == 1 ? 0 : loss(sample, range);
        if (lost < best) {
            best = lost;
            range_ = std::move(range);
        }
    }
}

// The mean share of a random pair's distance that the lower bound loses.
double AbsoluteCoder::loss(const Sample& sample, const Range& range) const {
    const int64_t pairs = std::min<int64_t>(64, sample.size / 2);
    if (pairs == 0) return 0;
    std::vector<uint8_t> a(sample.width), b(sample.width);
    double lost = 0;
    for (int64_t p = 0; p < pairs; ++p) {
        const double *x = sample.row(p), *y = sample.row(p + sample.size / 2);
        const ClippedRow of_x = ops_.clip(x, range.low.data(), 1 / range.scale, highest_, dim_, a.data());
        const ClippedRow of_y = ops_.clip(y, range.low.data(), 1 / range.scale, highest_, dim_, b.data());
        double bound = std::abs(of_x.excess - of_y.excess) - of_x.residual - of_y.residual, distance = 0;
        for (int64_t c = 0; c < dim_; ++c) {
            bound += std::abs(a[c] - b[c]);
            distance += std::abs(x[c] - y[c]);
        }
        const double share = 1 - bound * range.scale / distance;
        // Beyond 1 nothing more is lost; not a number where the rows are equal or too large.
        if (distance > 0) lost += share < 1 ? share : 1;
    }
    return lost;
}

double AbsoluteCoder::peak(const Rows& rows, int64_t row, int) const {
    thread_local std::vector<double> x;
    thread_local std::vector<uint8_t> code;
    x.resize(padded(dim_, 8));
    code.resize(x.size());
    ops_.load(rows, row, x.data());
    return highest_ + ops_.clip(x.data(), range_.low.data(), 1 / range_.scale, highest_, dim_, code.data()).excess;
}

void AbsoluteCoder::code(const Rows& rows, const int32_t* which, int n, int, double, CodedBlock& out) const {
    const int64_t bytes = row_bytes(), padded_rows = coded_rows(n);
    out.codes.assign(padded_rows * bytes, 0);
    out.squared_norms.assign(padded_rows, 0);
    out.sums.assign(padded_rows, 0);
    out.slacks.assign(padded_rows, 0);
    out.shifts.assign(padded_rows, 0);
    Side side;
    side.size = n;
    side.scale = range_.scale;
    side.shift_lowest = n > 0 ? kInfinity : 0;
    std::vector<double> x(padded(dim_, 8));
    std::vector<uint8_t> code(x.size());
    for (int i = 0; i < n; ++i) {
        ops_.load(rows, which[i], x.data());
        const ClippedRow row = ops_.clip(x.data(), range_.low.data(), 1 / range_.scale, highest_, dim_, code.data());
        const auto dim = static_cast<double>(dim_);
        double slack = row.residual + dim * 0x1p-40 + row.excess * (dim + 16) * 0x1p-52;
        double excess = row.excess;
        if (!std::isfinite(slack)) {
            slack = kInfinity;
            excess = 0;
        }
        int8_t* coded = &out.codes[i * bytes];
        for (int64_t c = 0; c < dim_; ++c) coded[c] = static_cast<int8_t>(code[order_[c]]);
        out.slacks[i] = round_up(slack);
        out.shifts[i] = excess;
        side.slack_highest = std::max<double>(side.slack_highest, out.slacks[i]);
        side.shift_highest = std::max(side.shift_highest, excess);
        side.shift_lowest = std::min(side.shift_lowest, excess);
    }
    side.squared_norms = out.squared_norms.data();
    side.sums = out.sums.data();
    side.slacks = out.slacks.data();
    side.shifts = out.shifts.data();
    out.side = side;
}

double AbsoluteCoder::radius(double distance) const { return (distance * (1 + 1e-9) + 1e-300) / range_.scale; }

double AbsoluteCoder::nowhere() const { return -kInfinity; }

bool AbsoluteCoder::keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
                         Keys& row_keys, Keys& column_keys) const {
    const auto fill = [&](const Side& own, const double* radii, const Side& other, Keys& keys) {
        std::fill(keys.base.begin(), keys.base.end(), 0);
        for (int i = 0; i < own.size; ++i) {
            const double outside =
                std::max({0.0, own.shifts[i] - other.shift_highest, other.shift_lowest - own.shifts[i]});
            const double slack = own.slacks[i] + other.slack_highest;
            keys.floor[i] = radii[i] < 0 ? kNothing : as_floor(outside * (1 - 1e-15) - radii[i] - slack);
        }
        std::fill(keys.floor.begin() + own.size, keys.floor.end(), kNothing);
    };
    fill(rows, row_radii, columns, row_keys);
    fill(columns, column_radii, rows, column_keys);
    return true;
}

void AbsoluteCoder::lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
                          float* out) const {
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        const int column = first_column + s.column;
        const double slack = static_cast<double>(rows.slacks[s.row]) + columns.slacks[column];
        out[i] =
            round_down(std::abs(rows.shifts[s.row] - columns.shifts[column]) - static_cast<double>(s.score) - slack);
    }
}

double AbsoluteCoder::upper(const Side& rows, int row, const Side& columns, int32_t score) const {
    const double sum = -static_cast<double>(score) + rows.slacks[row] + columns.slack_highest + rows.shifts[row] +
                       columns.shift_highest;
    return sum * range_.scale * (1 + 1e-9) + 1e-300;
}

}  // namespace vicinal
