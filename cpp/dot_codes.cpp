// See dot_codes.hpp.
#include "dot_codes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "centre.hpp"
#include "coarse.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

DotCoder::DotCoder(const Rows& rows, Metric metric, const RowOps& ops, bool coarse, const Sampled& sampled)
    : metric_(metric), ops_(ops), dim_(rows.matrix.dim), coarse_(coarse) {
    // Sums of products must stay below 2^28, so that scores fit in 32 bits.
    max_code_ = static_cast<int>(std::clamp<int64_t>((int64_t{1} << 28) / (255 * dim_), 1, 127));
    const Centre estimate = find_centre(rows, ops, sampled);
    factor_ = estimate.factor;
    if (metric != Metric::inner_product) centres_ = find_regions(rows, ops);
    if (centres_.empty()) centres_ = {estimate.centre};
    for (double c : centres_[0]) centre_squared_ += c * c;
    for (const auto& a : centres_) {
        for (const auto& b : centres_) {
            double square = 0;
            for (int64_t c = 0; c < dim_; ++c) square += (a[c] - b[c]) * (a[c] - b[c]);
            centre_distances_.push_back(std::sqrt(square) * factor_ * (1 - 1e-9));
        }
    }
}

int DotCoder::region(const Rows& rows, int64_t row) const {
    if (centres_.size() == 1) return 0;
    thread_local std::vector<double> x;
    x.resize(padded(dim_, 8));
    ops_.load(rows, row, x.data());
    int nearest = 0;
    double least = kInfinity;
    for (int r = 0; r < regions(); ++r) {
        double square = 0;
        for (int64_t c = 0; c < dim_; ++c) square += (x[c] - centres_[r][c]) * (x[c] - centres_[r][c]);
        if (square < least) {
            least = square;
            nearest = r;
        }
    }
    return nearest;
}

double DotCoder::peak(const Rows& rows, int64_t row, int region) const {
    return ops_.peak(rows, row, centres_[region].data());
}

// Allocates the statistics of n rows of `terms` coordinates that have one scale.
static void start(RowStats& out, int n, int64_t terms, double scale, bool coarse) {
    const int64_t padded_rows = coded_rows(n);
    out.squared_norms.assign(padded_rows, 0);
    out.sums.assign(padded_rows, 0);
    out.slacks.assign(padded_rows, 0);
    out.stats = {};
    out.stats.size = n;
    out.stats.scale = coarse ? 2 * scale : scale;
    out.stats.middle = coarse ? kMiddle : 0;
    out.stats.terms = terms;
    out.stats.offset = coarse ? 64 : 128;
    out.stats.squared_norms = out.squared_norms.data();
    out.stats.sums = out.sums.data();
    out.stats.slacks = out.slacks.data();
}

static double usable_scale(float scale) { return scale >= 1e-30f && scale <= 1e30f ? scale : 1; }

static void put_slack(double slack, int i, RowStats& out) {
    out.slacks[i] = round_up(slack < kInfinity ? slack : kInfinity);
    out.stats.max_slack = std::max<double>(out.stats.max_slack, out.slacks[i]);
}

// Stores the statistics of row i. `terms` coordinates in float32, of whose residuals eight sums are added.
void DotCoder::put_stats(const CodedRow& row, int64_t terms, double lost, int i, RowStats& out) const {
    out.squared_norms[i] = row.squared_norm;
    out.sums[i] = row.sum;
    const double length = out.stats.scale * std::sqrt(square_of(out.stats, i));
    // The error of a float32 sum of terms / 8 terms, then the rounding errors of the coordinates.
    put_slack(lost + row.residual * (1 + (static_cast<double>(terms) / 8 + 32) * 0x1p-23) +
                  (length + row.residual) * 0x1p-20 + std::sqrt(static_cast<double>(terms)) * 0x1p-70,
              i, out);
    out.stats.max_length = std::max(out.stats.max_length, length * (1 + 1e-12));
}

void DotCoder::put_row(const float* x, int64_t terms, double lost, int i, int8_t* code, RowStats& out) const {
    if (!(lost < kInfinity)) return put_slack(kInfinity, i, out);
    // A row has room for the zeros that follow the last coordinate.
    put_stats(ops_.quantise(x, terms, static_cast<float>(out.stats.scale), code), terms, lost, i, out);
}

void DotCoder::put_coarse(const float* x, int64_t terms, double lost, int i, const int8_t* code, RowStats& out) const {
    if (!(lost < kInfinity)) return put_slack(kInfinity, i, out);
    put_stats(ops_.halve(x, terms, static_cast<float>(out.stats.scale), code), terms, lost, i, out);
}

// Gives the coarse codes what does not depend on the codes.
static void share(CodedBlock& block) {
    RowStats& out = block.coarse;
    out.lengths = block.lengths;
    out.shifts = block.shifts;
    for (size_t i = 0; i < block.slacks.size(); ++i) {
        if (!(block.slacks[i] < kInfinity)) put_slack(kInfinity, static_cast<int>(i), out);
    }
    const BlockStats own = out.stats;
    out.stats = block.stats;
    out.stats.scale = own.scale;
    out.stats.middle = own.middle;
    out.stats.offset = own.offset;
    out.stats.max_slack = own.max_slack;
    out.stats.max_length = own.max_length;
    out.stats.squared_norms = own.squared_norms;
    out.stats.sums = own.sums;
    out.stats.slacks = own.slacks;
    out.stats.shifts = out.shifts.data();
    out.stats.lengths = out.lengths.empty() ? nullptr : out.lengths.data();
}

// Stores the length of a row, given its square.
void DotCoder::put_length(double square, int i, CodedBlock& block) const {
    BlockStats& stats = block.stats;
    const bool known = block.slacks[i] < kInfinity && square < 1e30;
    const double length = std::sqrt(square);
    block.lengths[i] = known ? static_cast<float>(length) : std::numeric_limits<float>::quiet_NaN();
    stats.longest = std::max(stats.longest, known ? length : kInfinity);
    stats.shortest = i ? std::min(stats.shortest, known ? length : 0) : known ? length : 0;
}

void DotCoder::centred(const Rows& rows, int64_t row, float* out) const {
    ops_.centre_row(rows, row, centres_[0].data(), factor_, out);
}

double DotCoder::shift(const Rows& rows, int64_t row) const {
    thread_local std::vector<double> x;
    x.resize(padded(dim_, 8));
    ops_.load(rows, row, x.data());
    double product = 0;
    for (int64_t c = 0; c < dim_; ++c) product += x[c] * centres_[0][c];
    return (product - centre_squared_ / 2) * factor_ * factor_;
}

void DotCoder::encode(const Rows& rows, const int32_t* which, int n, int region, double highest_peak,
                      CodedBlock& out) const {
    const double* centre = centres_[region].data();
    start(out, n, dim_, usable_scale(round_up(highest_peak * factor_ / max_code_ * (1 + 1e-6))), false);
    if (coarse_) start(out.coarse, n, dim_, out.stats.scale, true);
    out.codes.assign(coded_rows(n) * row_bytes(), 0);
    out.lengths.clear();
    BlockStats& stats = out.stats;
    stats.region = region;
    if (metric_ == Metric::inner_product) out.shifts.assign(padded(n, kRowStep), 0);
    else out.lengths.assign(padded(n, kRowStep), 0);
    std::vector<double> x(padded(dim_, 8));
    std::vector<float> moved(x.size());
    for (int i = 0; i < n; ++i) {
        prefetch_next(rows, which, i, n);
        const CentredRow row = ops_.centre_row(rows, which[i], centre, factor_, moved.data());
        const bool within = row.peak * factor_ <= stats.scale * max_code_;
        int8_t* code = &out.codes[i * row_bytes()];
        put_row(moved.data(), dim_, within ? 0 : kInfinity, i, code, out);
        if (coarse_) put_coarse(moved.data(), dim_, within ? 0 : kInfinity, i, code, out.coarse);
        if (metric_ != Metric::inner_product) {
            put_length(row.square, i, out);
            continue;
        }
        ops_.load(rows, which[i], x.data());
        double product = 0, square = 0;
        for (int64_t c = 0; c < dim_; ++c) {
            product += x[c] * centre[c];
            square += x[c] * x[c];
        }
        out.shifts[i] = (product - centre_squared_ / 2) * factor_ * factor_;
        if (!std::isfinite(out.shifts[i])) {
            out.shifts[i] = 0;
            out.slacks[i] = std::numeric_limits<float>::infinity();
            stats.max_slack = kInfinity;
        }
        stats.max_shift = i ? std::max(stats.max_shift, out.shifts[i]) : out.shifts[i];
        stats.max_norm = std::max(stats.max_norm, (std::sqrt(square) + std::sqrt(centre_squared_)) * factor_);
    }
    stats.shifts = out.shifts.data();
    stats.lengths = out.lengths.empty() ? nullptr : out.lengths.data();
    if (coarse_) share(out);
}

// The coordinates of sketches.
struct DotCoder::Projected {
    // What the sketches of one size have of their own.
    struct Size {
        std::vector<double> lost;       // an upper bound of the error of each row
        std::vector<float> remainders;  // less a typical one
    };
    float highest = 0;               // absolute value of a coordinate
    std::vector<float> coordinates;  // of the largest size
    std::vector<Size> sizes;
};

// Sizes are multiples of four.
void DotCoder::project(const Rows& rows, const int32_t* which, int n, const Projection& projection,
                       Projected& out) const {
    constexpr int kChunk = 64;  // rows that stay in the cache
    const std::vector<Projection::Size>& sizes = projection.sizes();
    const int64_t stride = padded(dim_, 8);
    const int kept = projection.kept();
    out.coordinates.resize(static_cast<size_t>(n) * kept);
    out.sizes.resize(sizes.size());
    for (Projected::Size& size : out.sizes) {
        size.lost.resize(n);
        size.remainders.resize(n);
    }
    thread_local std::vector<float> given, projected;
    given.assign(kChunk * stride, 0);
    float highest[4] = {};
    for (int begin = 0; begin < n; begin += kChunk) {
        const int taken = std::min(kChunk, n - begin);
        double squares[kChunk];
        float scales[kChunk];
        for (int i = 0; i < taken; ++i) {
            prefetch_next(rows, which, begin + i, n);
            float* own = &given[i * stride];
            auto [peak, square] = ops_.centre_row(rows, which[begin + i], centres_[0].data(), factor_, own);
            squares[i] = square;
            if (!(square < 1e30)) {
                std::fill(own, own + dim_, 0.0f);
                peak = square = 0;
            }
            scales[i] = projection.scale(peak * factor_, std::sqrt(square));
        }
        projection.project(ops_, given.data(), taken, scales, projected);
        for (int i = 0; i < taken; ++i) {
            const float* own = &projected[i * projection.columns()];
            std::copy_n(own, kept, &out.coordinates[static_cast<size_t>(begin + i) * kept]);
            const double length = std::sqrt(squares[i]);
            const double error = projection.error(scales[i], length), off = 2.01 * error * length;
            double lanes[4] = {};
            for (size_t s = 0, j = 0; s < sizes.size(); ++s) {
                for (; j < static_cast<size_t>(sizes[s].columns); j += 4) {
                    for (int l = 0; l < 4; ++l) {
                        lanes[l] += static_cast<double>(own[j + l]) * own[j + l];
                        highest[l] = std::max(highest[l], std::abs(own[j + l]));
                    }
                }
                const double square = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
                const double remainder = std::sqrt(std::max(0.0, squares[i] - square));
                Projected::Size& size = out.sizes[s];
                size.remainders[begin + i] = static_cast<float>(remainder - sizes[s].typical_remainder);
                size.lost[begin + i] = squares[i] < 1e30
                                           ? length * 0x1p-20 + error +
                                                 std::min(std::sqrt(off), off / std::max(remainder, 1e-300)) +
                                                 std::sqrt(static_cast<double>(dim_)) * 0x1p-69
                                           : kInfinity;
            }
        }
    }
    out.highest = *std::max_element(highest, highest + 4);
}

void DotCoder::sketch(const Rows& rows, const int32_t* which, int n, const Projection& projection,
                      Sketches& out) const {
    thread_local Projected projected;
    thread_local std::vector<float> x;
    thread_local std::vector<int8_t> code;
    project(rows, which, n, projection, projected);
    const auto sizes = static_cast<int64_t>(projection.sizes().size()), kept = int64_t{projection.kept()};
    const double scale = usable_scale(round_up(projected.highest / 127.0 * (1 + 1e-6)));
    const auto most = static_cast<float>(127 * scale * (1 - 1e-6));
    x.assign(padded(kept + 4, 8), 0);
    code.assign(padded(kept + 4, kRowAlign), 0);
    out.row_bytes = padded(kept + 4 * sizes, kRowAlign);
    out.codes.assign(coded_rows(n) * out.row_bytes, 0);
    out.sizes.resize(sizes);
    for (int64_t s = 0; s < sizes; ++s) {
        const Projected::Size& size = projected.sizes[s];
        const int64_t columns = projection.sizes()[s].columns, terms = columns + 4;
        start(out.sizes[s], n, terms, scale, coarse_);
        for (int i = 0; i < n; ++i) {
            // The remainder, less a typical one, is coded as four equal coordinates of half its value, so that the
            // common scale suffices. What exceeds the range of the codes is lost, with the rounding of the quarter to
            // float32.
            const float quarter = size.remainders[i] / 2, within = std::clamp(quarter, -most, most);
            const double lost = size.lost[i] + 2 * (1 + 0x1p-20) * std::abs(static_cast<double>(quarter) - within);
            if (!(lost < kInfinity)) {
                put_slack(kInfinity, i, out.sizes[s]);
                continue;
            }
            std::copy_n(&projected.coordinates[i * kept], columns, x.data());
            std::fill_n(x.data() + columns, 4, within);
            if (coarse_) {
                // The statistics are those of the coarse codes.
                ops_.quantise(x.data(), terms, static_cast<float>(scale), code.data());
                put_coarse(x.data(), terms, lost, i, code.data(), out.sizes[s]);
            } else {
                put_row(x.data(), terms, lost, i, code.data(), out.sizes[s]);
            }
            int8_t* own = &out.codes[i * out.row_bytes];
            std::copy_n(&code[columns], 4, own + 4 * (sizes - 1 - s));
            if (s == sizes - 1) std::copy_n(code.data(), columns, own + 4 * sizes);
        }
    }
}

}  // namespace vicinal
