// See dot_codes.hpp.
#include "dot_codes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "centre.hpp"

namespace vicinal {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

DotCoder::DotCoder(const Rows& rows, Metric metric, const RowOps& ops)
    : metric_(metric), ops_(ops), dim_(rows.matrix.dim) {
    // Products and their sums must stay below 2^28, so that no score leaves 32 bits.
    highest_code_ = static_cast<int>(std::clamp<int64_t>((int64_t{1} << 28) / (255 * dim_), 1, 127));
    const Centre found = find_centre(rows, ops);
    factor_ = found.factor;
    if (metric != Metric::inner_product) centres_ = find_regions(rows, ops);
    if (centres_.empty()) centres_ = {found.centre};
    for (double c : centres_[0]) centre_squared_ += c * c;
    for (const auto& a : centres_) {
        for (const auto& b : centres_) {
            double square = 0;
            for (int64_t c = 0; c < dim_; ++c) square += (a[c] - b[c]) * (a[c] - b[c]);
            apart_.push_back(std::sqrt(square) * factor_ * (1 - 1e-9));
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
    thread_local std::vector<double> x;
    x.resize(padded(dim_, 8));
    ops_.load(rows, row, x.data());
    return ops_.peak(x.data(), centres_[region].data(), dim_);
}

// Makes room for the marks of so many rows of one scale.
static void start(Marks& marks, int n, double scale) {
    const int64_t padded_rows = coded_rows(n);
    marks.squared_norms.assign(padded_rows, 0);
    marks.sums.assign(padded_rows, 0);
    marks.slacks.assign(padded_rows, 0);
    marks.side = {};
    marks.side.size = n;
    marks.side.scale = scale;
    marks.side.squared_norms = marks.squared_norms.data();
    marks.side.sums = marks.sums.data();
    marks.side.slacks = marks.slacks.data();
}

static double sound_scale(float scale) { return scale >= 1e-30f && scale <= 1e30f ? scale : 1; }

static void put_slack(double slack, int i, Marks& marks) {
    marks.slacks[i] = round_up(slack < kInfinity ? slack : kInfinity);
    marks.side.slack_highest = std::max<double>(marks.side.slack_highest, marks.slacks[i]);
}

void DotCoder::put_row(const float* x, double lost, int i, CodedBlock& block) const {
    if (!(lost < kInfinity)) return put_slack(kInfinity, i, block);
    Side& side = block.side;
    thread_local std::vector<int8_t> code;
    code.resize(padded(dim_, 8));
    const CodedRow row = ops_.quantise(x, dim_, static_cast<float>(side.scale), code.data());
    std::copy_n(code.data(), dim_, &block.codes[i * row_bytes()]);
    block.squared_norms[i] = row.squared_norm;
    block.sums[i] = row.sum;
    const double length = side.scale * std::sqrt(static_cast<double>(row.squared_norm));
    // A float32 sum of dim / 8 terms, then what the roundings of each coordinate can add.
    put_slack(lost + row.residual * (1 + (static_cast<double>(dim_) / 8 + 32) * 0x1p-23) +
                  (length + row.residual) * 0x1p-20 + std::sqrt(static_cast<double>(dim_)) * 0x1p-70,
              i, block);
    side.length_highest = std::max(side.length_highest, length * (1 + 1e-12));
}

// The row's true length, from its square.
void DotCoder::put_length(double square, int i, CodedBlock& block) const {
    Side& side = block.side;
    const bool known = block.slacks[i] < kInfinity && square < 1e30;
    const double length = std::sqrt(square);
    block.lengths[i] = known ? static_cast<float>(length) : std::numeric_limits<float>::quiet_NaN();
    side.longest = std::max(side.longest, known ? length : kInfinity);
    side.shortest = i ? std::min(side.shortest, known ? length : 0) : known ? length : 0;
}

void DotCoder::centred(const Rows& rows, int64_t row, float* out) const {
    thread_local std::vector<double> x;
    x.resize(padded(dim_, 8));
    ops_.load(rows, row, x.data());
    ops_.centred(x.data(), centres_[0].data(), factor_, dim_, out);
}

void DotCoder::code(const Rows& rows, const int32_t* which, int n, int region, double highest_peak,
                    CodedBlock& out) const {
    const double* centre = centres_[region].data();
    start(out, n, sound_scale(round_up(highest_peak * factor_ / highest_code_ * (1 + 1e-6))));
    out.codes.assign(coded_rows(n) * row_bytes(), 0);
    out.tails.clear();
    out.lengths.clear();
    Side& side = out.side;
    side.region = region;
    if (metric_ == Metric::inner_product) out.shifts.assign(padded(n, kRowStep), 0);
    else out.lengths.assign(padded(n, kRowStep), 0);
    std::vector<double> x(padded(dim_, 8));
    std::vector<float> moved(x.size());
    for (int i = 0; i < n; ++i) {
        ops_.load(rows, which[i], x.data());
        ops_.centred(x.data(), centre, factor_, dim_, moved.data());
        const bool within = ops_.peak(x.data(), centre, dim_) * factor_ <= side.scale * highest_code_;
        put_row(moved.data(), within ? 0 : kInfinity, i, out);
        if (metric_ != Metric::inner_product) {
            double square = 0;
            for (int64_t c = 0; c < dim_; ++c) square += static_cast<double>(moved[c]) * moved[c];
            put_length(square, i, out);
            continue;
        }
        double product = 0, square = 0;
        for (int64_t c = 0; c < dim_; ++c) {
            product += x[c] * centre[c];
            square += x[c] * x[c];
        }
        out.shifts[i] = (product - centre_squared_ / 2) * factor_ * factor_;
        if (!std::isfinite(out.shifts[i])) {
            out.shifts[i] = 0;
            out.slacks[i] = std::numeric_limits<float>::infinity();
            side.slack_highest = kInfinity;
        }
        side.shift_highest = i ? std::max(side.shift_highest, out.shifts[i]) : out.shifts[i];
        side.reach = std::max(side.reach, (std::sqrt(square) + std::sqrt(centre_squared_)) * factor_);
    }
    side.shifts = out.shifts.data();
    side.lengths = out.lengths.empty() ? nullptr : out.lengths.data();
}

void DotCoder::code_rotated(const Rows& rows, const int32_t* which, int n, const Rotation& rotation, float* rotated,
                            CodedBlock& out) const {
    constexpr int64_t kChunk = 64;
    const int64_t stride = padded(dim_, 8), rotated_stride = rotation.dim_padded();
    thread_local std::vector<float> moved;
    moved.assign(kChunk * stride, 0);
    std::vector<double> squares(n), rests(n);
    double highest = 0;
    for (int begin = 0; begin < n; begin += kChunk) {
        const int64_t taken = std::min<int64_t>(kChunk, n - begin);
        for (int64_t i = 0; i < taken; ++i) {
            float* own = &moved[i * stride];
            centred(rows, which[begin + i], own);
            double square = 0;
            for (int64_t c = 0; c < dim_; ++c) square += static_cast<double>(own[c]) * own[c];
            squares[begin + i] = square;
            if (!(square < 1e30)) std::fill(own, own + dim_, 0.0f);
        }
        rotation.turn(ops_, moved.data(), taken, stride, &rotated[begin * rotated_stride]);
        for (int64_t i = begin; i < begin + taken; ++i) {
            const float* own = &rotated[i * rotated_stride];
            double rest = 0;
            float peak = 0;
            for (int64_t c = 0; c < dim_; ++c) {
                if (c < rotation.first()) rest += static_cast<double>(own[c]) * own[c];
                peak = std::max(peak, std::abs(own[c]));
            }
            rests[i] = std::sqrt(rest);
            highest = std::max<double>(highest, peak);
        }
    }
    start(out, n, sound_scale(round_up(highest / highest_code_ * (1 + 1e-6))));
    start(out.sketch, n, out.side.scale);
    out.codes.assign(coded_rows(n) * row_bytes(), 0);
    out.tails.assign(coded_rows(n), 0);
    out.lengths.assign(padded(n, kRowStep), 0);
    const double scale = out.side.scale, told = static_cast<double>(rotation.told());
    for (int i = 0; i < n; ++i) {
        const float* own = &rotated[i * rotated_stride];
        const double lost = squares[i] < 1e30 ? rotation.error() * std::sqrt(squares[i]) * (1 + 1e-12) +
                                                    std::sqrt(static_cast<double>(dim_)) * 0x1p-69
                                              : kInfinity;
        put_row(own, lost, i, out);
        put_length(squares[i], i, out);
        if (!(lost < kInfinity)) {
            put_slack(kInfinity, i, out.sketch);
            continue;
        }
        // Four coordinates share what is left, less what usually is, so that one scale serves it too.
        const double quarter = (rests[i] - rotation.usual_rest()) / 2;
        const auto tail = static_cast<int8_t>(std::clamp(std::round(quarter / scale), -127.0, 127.0));
        const int8_t tails[4] = {tail, tail, tail, tail};
        std::memcpy(&out.tails[i], tails, 4);
        double residual = 4 * (quarter - scale * tail) * (quarter - scale * tail);
        int32_t squared_norm = 4 * tail * tail, sum = 4 * tail;
        const int8_t* code = &out.codes[i * row_bytes()];
        for (int64_t c = rotation.first(); c < dim_; ++c) {
            const double off = own[c] - scale * code[c];
            residual += off * off;
            squared_norm += code[c] * code[c];
            sum += code[c];
        }
        out.sketch.squared_norms[i] = squared_norm;
        out.sketch.sums[i] = sum;
        const double length = scale * std::sqrt(static_cast<double>(squared_norm));
        put_slack(lost + std::sqrt(residual) * (1 + told * 0x1p-50) + (std::sqrt(squares[i]) + length) * 0x1p-20 +
                      std::sqrt(static_cast<double>(dim_)) * 0x1p-70,
                  i, out.sketch);
        out.sketch.side.length_highest = std::max(out.sketch.side.length_highest, length * (1 + 1e-12));
    }
    out.side.lengths = out.lengths.data();
}

}  // namespace vicinal
