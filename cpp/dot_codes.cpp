// See dot_codes.hpp.
#include "dot_codes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
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

void DotCoder::put_row(const float* x, double lost, int i, CodedBlock& block) const {
    if (!(lost < kInfinity)) return put_slack(kInfinity, i, block);
    BlockStats& stats = block.stats;
    // A row has room for the zeros that follow the last coordinate.
    const CodedRow row = ops_.quantise(x, dim_, static_cast<float>(stats.scale), &block.codes[i * row_bytes()]);
    block.squared_norms[i] = row.squared_norm;
    block.sums[i] = row.sum;
    const double length = stats.scale * std::sqrt(static_cast<double>(row.squared_norm));
    // The error of a float32 sum of dim / 8 terms, then the rounding errors of the coordinates.
    put_slack(lost + row.residual * (1 + (static_cast<double>(dim_) / 8 + 32) * 0x1p-23) +
                  (length + row.residual) * 0x1p-20 + std::sqrt(static_cast<double>(dim_)) * 0x1p-70,
              i, block);
    stats.max_length = std::max(stats.max_length, length * (1 + 1e-12));
    if (coarse_) put_coarse(x, lost, i, block);
}

// Stores the statistics of the coarse codes of row i, which put_row has coded.
void DotCoder::put_coarse(const float* x, double lost, int i, CodedBlock& block) const {
    RowStats& out = block.coarse;
    const CodedRow row = ops_.halve(x, dim_, static_cast<float>(out.stats.scale), &block.codes[i * row_bytes()]);
    out.squared_norms[i] = row.squared_norm;
    out.sums[i] = row.sum;
    const double length = out.stats.scale * std::sqrt(square_of(out.stats, i));
    put_slack(lost + row.residual * (1 + (static_cast<double>(dim_) / 8 + 32) * 0x1p-23) +
                  (length + row.residual) * 0x1p-20 + std::sqrt(static_cast<double>(dim_)) * 0x1p-70,
              i, out);
    out.stats.max_length = std::max(out.stats.max_length, length * (1 + 1e-12));
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
    out.tails.clear();
    out.lengths.clear();
    BlockStats& stats = out.stats;
    stats.region = region;
    if (metric_ == Metric::inner_product) out.shifts.assign(padded(n, kRowStep), 0);
    else out.lengths.assign(padded(n, kRowStep), 0);
    std::vector<double> x(padded(dim_, 8));
    std::vector<float> moved(x.size());
    for (int i = 0; i < n; ++i) {
        const CentredRow row = ops_.centre_row(rows, which[i], centre, factor_, moved.data());
        const bool within = row.peak * factor_ <= stats.scale * max_code_;
        put_row(moved.data(), within ? 0 : kInfinity, i, out);
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

void DotCoder::encode_rotated(const Rows& rows, const int32_t* which, int n, const Rotation& rotation, float* rotated,
                              CodedBlock& out) const {
    std::vector<double> squares(n), remainders(n);
    const double highest = rotate_rows(rows, which, n, rotation, rotated, squares.data(), remainders.data());
    start(out, n, dim_, usable_scale(round_up(highest / max_code_ * (1 + 1e-6))), false);
    if (coarse_) start(out.coarse, n, dim_, out.stats.scale, true);
    start(out.sketch, n, rotation.kept() + 4, out.stats.scale, coarse_);
    out.codes.assign(coded_rows(n) * row_bytes(), 0);
    out.tails.assign(coded_rows(n), 0);
    out.lengths.assign(padded(n, kRowStep), 0);
    for (int i = 0; i < n; ++i) {
        const float* own = &rotated[i * rotation.dim_padded()];
        const double lost = squares[i] < 1e30 ? rotation.error() * std::sqrt(squares[i]) * (1 + 1e-12) +
                                                    std::sqrt(static_cast<double>(dim_)) * 0x1p-69
                                              : kInfinity;
        put_row(own, lost, i, out);
        put_length(squares[i], i, out);
        if (lost < kInfinity) put_sketch(own, rotation, squares[i], remainders[i], lost, i, out);
        else put_slack(kInfinity, i, out.sketch);
    }
    out.stats.lengths = out.lengths.data();
    if (coarse_) share(out);
}

// Rotates the rows, in chunks that fit in the cache. Returns the largest absolute coordinate, and for each row the
// square of its length and the length of all but the last coordinates.
double DotCoder::rotate_rows(const Rows& rows, const int32_t* which, int n, const Rotation& rotation, float* rotated,
                             double* squares, double* remainders) const {
    constexpr int64_t kChunk = 64;
    const int64_t stride = padded(dim_, 8), rotated_stride = rotation.dim_padded();
    thread_local std::vector<float> given;
    given.assign(kChunk * stride, 0);
    double highest = 0;
    for (int begin = 0; begin < n; begin += kChunk) {
        const int64_t taken = std::min<int64_t>(kChunk, n - begin);
        for (int64_t i = 0; i < taken; ++i) {
            float* own = &given[i * stride];
            const double square = ops_.centre_row(rows, which[begin + i], centres_[0].data(), factor_, own).square;
            squares[begin + i] = square;
            if (!(square < 1e30)) std::fill(own, own + dim_, 0.0f);
        }
        rotation.rotate(ops_, given.data(), taken, stride, &rotated[begin * rotated_stride]);
        for (int64_t i = begin; i < begin + taken; ++i) {
            const float* own = &rotated[i * rotated_stride];
            double remainder = 0;
            float peak = 0;
            for (int64_t c = 0; c < dim_; ++c) {
                if (c < rotation.first()) remainder += static_cast<double>(own[c]) * own[c];
                peak = std::max(peak, std::abs(own[c]));
            }
            remainders[i] = std::sqrt(remainder);
            highest = std::max<double>(highest, peak);
        }
    }
    return highest;
}

// Codes the sketch of row i: the last coordinates, which put_row has coded, and the length of the others.
void DotCoder::put_sketch(const float* x, const Rotation& rotation, double square, double remainder, double lost, int i,
                          CodedBlock& block) const {
    const double fine = block.stats.scale, scale = block.sketch.stats.scale, middle = block.sketch.stats.middle;
    const auto own = [&](int8_t code) { return coarse_ ? halved(code) : code; };
    // The remainder, less a typical one, is coded as four equal coordinates of half its value, so that the common scale
    // suffices.
    const double quarter = (remainder - rotation.typical_remainder()) / 2;
    const auto tail = static_cast<int8_t>(std::clamp(std::round(quarter / fine), -127.0, 127.0));
    const int8_t tails[4] = {tail, tail, tail, tail};
    std::memcpy(&block.tails[i], tails, 4);
    const double left = quarter - scale * (own(tail) + middle);
    double residual = 4 * left * left;
    int32_t squared_norm = 4 * own(tail) * own(tail), sum = 4 * own(tail);
    const int8_t* code = &block.codes[i * row_bytes()];
    for (int64_t c = rotation.first(); c < dim_; ++c) {
        const double off = x[c] - scale * (own(code[c]) + middle);
        residual += off * off;
        squared_norm += own(code[c]) * own(code[c]);
        sum += own(code[c]);
    }
    block.sketch.squared_norms[i] = squared_norm;
    block.sketch.sums[i] = sum;
    const double length = scale * std::sqrt(square_of(block.sketch.stats, i));
    put_slack(lost + std::sqrt(residual) * (1 + rotation.kept() * 0x1p-50) + (std::sqrt(square) + length) * 0x1p-20 +
                  std::sqrt(static_cast<double>(dim_)) * 0x1p-70,
              i, block.sketch);
    block.sketch.stats.max_length = std::max(block.sketch.stats.max_length, length * (1 + 1e-12));
}

}  // namespace vicinal
