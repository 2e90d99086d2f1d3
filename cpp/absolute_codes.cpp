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

// A sample of the rows in float64; values that are not finite are 0.
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
      // Sums of differences must stay below 2^28.
      max_code_(static_cast<double>(std::clamp<int64_t>((int64_t{1} << 28) / dim_, 1, 255))),
      range_{std::vector<double>(padded(dim_, 8)), 1},
      order_(dim_) {
    std::iota(order_.begin(), order_.end(), 0);
    if (rows.matrix.n_vectors > 0) choose(Sample(rows, ops_));
}

void AbsoluteCoder::choose(const Sample& sample) {
    // Medians of the coordinates, and the distances from them.
    std::vector<double> median(sample.width), spread(dim_), column(sample.size), distances;
    distances.reserve(sample.size * dim_);
    double lowest = kInfinity, highest = -kInfinity;
    bool whole = true;
    for (int64_t c = 0; c < dim_; ++c) {
        for (int64_t i = 0; i < sample.size; ++i) {
            column[i] = sample.row(i)[c];
            lowest = std::min(lowest, column[i]);
            highest = std::max(highest, column[i]);
            whole = whole && column[i] == std::nearbyint(column[i]);
        }
        std::nth_element(column.begin(), column.begin() + sample.size / 2, column.end());
        median[c] = column[sample.size / 2];
        for (double value : column) {
            distances.push_back(std::abs(value - median[c]));
            spread[c] += distances.back();
        }
    }
    std::stable_sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) { return spread[a] > spread[b]; });

    std::vector<Range> ranges;
    const bool exact = whole && highest - lowest <= max_code_;
    ranges.push_back({std::vector<double>(sample.width), exact ? 1 : usable((highest - lowest) / max_code_)});
    std::fill_n(ranges[0].low.begin(), dim_, lowest);
    if (!exact) {
        const auto count = static_cast<double>(distances.size());
        for (const double outside : {0.0, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.5}) {
            const auto at = distances.begin() + static_cast<int64_t>((count - 1) * (1 - outside));
            std::nth_element(distances.begin(), at, distances.end());
            Range range{std::vector<double>(sample.width), usable(2 * *at / max_code_)};
            for (int64_t c = 0; c < dim_; ++c) range.low[c] = median[c] - range.scale * max_code_ / 2;
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

// The mean fraction of the distance of a random pair that the lower bound loses.
double AbsoluteCoder::loss(const Sample& sample, const Range& range) const {
    const int64_t pairs = std::min<int64_t>(64, sample.size / 2);
    if (pairs == 0) return 0;
    std::vector<uint8_t> a(sample.width), b(sample.width);
    double lost = 0;
    for (int64_t p = 0; p < pairs; ++p) {
        const double *x = sample.row(p), *y = sample.row(p + sample.size / 2);
        const ClippedRow of_x = ops_.clip(x, range.low.data(), 1 / range.scale, max_code_, dim_, a.data());
        const ClippedRow of_y = ops_.clip(y, range.low.data(), 1 / range.scale, max_code_, dim_, b.data());
        double bound = std::abs(of_x.excess - of_y.excess) - of_x.residual - of_y.residual, distance = 0;
        for (int64_t c = 0; c < dim_; ++c) {
            bound += std::abs(a[c] - b[c]);
            distance += std::abs(x[c] - y[c]);
        }
        const double share = 1 - bound * range.scale / distance;
        // A lower bound of 0 or less loses all. NaN where the rows are equal or too large.
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
    return max_code_ + ops_.clip(x.data(), range_.low.data(), 1 / range_.scale, max_code_, dim_, code.data()).excess;
}

void AbsoluteCoder::encode(const Rows& rows, const int32_t* which, int n, int, double, CodedBlock& out) const {
    const int64_t bytes = row_bytes(), padded_rows = coded_rows(n);
    out.codes.assign(padded_rows * bytes, 0);
    out.squared_norms.assign(padded_rows, 0);
    out.sums.assign(padded_rows, 0);
    out.slacks.assign(padded_rows, 0);
    out.shifts.assign(padded_rows, 0);
    BlockStats stats;
    stats.size = n;
    stats.scale = range_.scale;
    stats.min_shift = n > 0 ? kInfinity : 0;
    std::vector<double> x(padded(dim_, 8));
    std::vector<uint8_t> code(x.size());
    for (int i = 0; i < n; ++i) {
        prefetch_next(rows, which, i, n);
        ops_.load(rows, which[i], x.data());
        const ClippedRow row = ops_.clip(x.data(), range_.low.data(), 1 / range_.scale, max_code_, dim_, code.data());
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
        stats.max_slack = std::max<double>(stats.max_slack, out.slacks[i]);
        stats.max_shift = std::max(stats.max_shift, excess);
        stats.min_shift = std::min(stats.min_shift, excess);
    }
    stats.squared_norms = out.squared_norms.data();
    stats.sums = out.sums.data();
    stats.slacks = out.slacks.data();
    stats.shifts = out.shifts.data();
    out.stats = stats;
}

double AbsoluteCoder::radius_of(double distance) const { return (distance * (1 + 1e-9) + 1e-300) / range_.scale; }

double AbsoluteCoder::empty_radius() const { return -kInfinity; }

bool AbsoluteCoder::thresholds(const BlockStats& rows, const double* row_radii, const BlockStats& columns,
                               const double* column_radii, Thresholds& row_thresholds,
                               Thresholds& column_thresholds) const {
    const auto fill = [&](const BlockStats& own, const double* radii, const BlockStats& other, Thresholds& thresholds) {
        std::fill(thresholds.base.begin(), thresholds.base.end(), 0);
        for (int i = 0; i < own.size; ++i) {
            const double outside = std::max({0.0, own.shifts[i] - other.max_shift, other.min_shift - own.shifts[i]});
            const double slack = own.slacks[i] + other.max_slack;
            thresholds.least_score[i] =
                radii[i] < 0 ? kPassNone : to_threshold(outside * (1 - 1e-15) - radii[i] - slack);
        }
        std::fill(thresholds.least_score.begin() + own.size, thresholds.least_score.end(), kPassNone);
    };
    fill(rows, row_radii, columns, row_thresholds);
    fill(columns, column_radii, rows, column_thresholds);
    return true;
}

void AbsoluteCoder::lower_bounds(const BlockStats& rows, const BlockStats& columns, int first_column,
                                 const Survivor* survivors, size_t n, float* out) const {
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        const int column = first_column + s.column;
        const double slack = static_cast<double>(rows.slacks[s.row]) + columns.slacks[column];
        out[i] =
            round_down(std::abs(rows.shifts[s.row] - columns.shifts[column]) - static_cast<double>(s.score) - slack);
    }
}

double AbsoluteCoder::upper_bound(const BlockStats& rows, int row, const BlockStats& columns, int32_t score) const {
    const double sum =
        -static_cast<double>(score) + rows.slacks[row] + columns.max_slack + rows.shifts[row] + columns.max_shift;
    return sum * range_.scale * (1 + 1e-9) + 1e-300;
}

}  // namespace vicinal
