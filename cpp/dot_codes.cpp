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
constexpr double kBaseLimit = 1 << 28;
constexpr double kRounded = 2.001;  // two bases, each rounded by less than one

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

double DotCoder::radius(double distance) const {
    switch (metric_) {
        case Metric::inner_product: return distance * factor_ * factor_;
        case Metric::sqeuclidean: distance = std::sqrt(distance); break;
        case Metric::cosine: distance = std::sqrt(2 * distance); break;
        default: break;
    }
    return (distance * (1 + 1e-9) + 1e-150) * factor_;
}

double DotCoder::nowhere() const { return -kInfinity; }

double DotCoder::finish(double sum) const {
    switch (metric_) {
        case Metric::inner_product: return -sum;
        case Metric::sqeuclidean: return sum;
        case Metric::cosine: return sum / 2;
        default: return std::sqrt(sum);
    }
}

// How far the true inner product of the row with any of the columns can lie from what codes and shifts say.
double DotCoder::allowance(const Side& rows, int row, const Side& columns) const {
    if (!(rows.slacks[row] < kInfinity && columns.slack_highest < kInfinity)) return kInfinity;
    const double length = rows.scale * std::sqrt(static_cast<double>(rows.squared_norms[row])) * (1 + 1e-12);
    return length * columns.slack_highest + rows.slacks[row] * (columns.length_highest + columns.slack_highest) +
           (static_cast<double>(dim_) + 64) * 0x1p-50 * rows.reach * columns.reach + 1e-290 * factor_ * factor_;
}

namespace {

constexpr double kLengthError = 0x1p-19;  // of a true length as it is kept, and of its square
constexpr double kShortest = 0x1p-60;     // below it float32 may lose more

// Whether true lengths tell more than the triangle inequality does.
bool by_lengths(const Side& rows, const Side& columns) {
    if (!rows.lengths || !columns.lengths) return false;
    const auto [less, more] = std::minmax(rows.longest, columns.longest);
    return more > 4 * less && less > 0x1p-50 && more < kInfinity;
}

// What lengths alone say: at least so far is a row of this length from every row of the other block.
double beyond(double length, const Side& other) {
    return std::max(length * (1 - kLengthError) - other.longest * (1 + kLengthError),
                    other.shortest * (1 - kLengthError) - length * (1 + kLengthError)) -
           kShortest;
}

}  // namespace

void DotCoder::keys_by_products(const Side& own, const double* radii, const Side& other, Keys& keys,
                                bool& whole) const {
    const double unit = own.scale * other.scale, highest = own.shift_highest + other.shift_highest;
    for (int i = 0; i < own.size; ++i) {
        const double base = std::ceil((own.shifts[i] - own.shift_highest) / unit);
        whole &= base >= -kBaseLimit;
        keys.base[i] = static_cast<int32_t>(std::max(base, -kBaseLimit));
        const double floor = (-radii[i] - allowance(own, i, other) - highest) / unit;
        keys.floor[i] = radii[i] == -kInfinity ? kNothing : as_floor(floor);
    }
}

void DotCoder::keys_by_distances(const Side& own, const double* radii, const Side& other, Keys& keys,
                                 bool& whole) const {
    const double half = own.scale / other.scale / 2, inverse = 1 / (2 * own.scale * other.scale);
    if (own.region != other.region) {
        const double away = apart(own, other) - other.longest * (1 + kLengthError) - kShortest;
        whole = false;
        for (int i = 0; i < own.size; ++i) {
            const bool out = radii[i] < 0 || away - own.lengths[i] * (1 + kLengthError) > radii[i];
            keys.base[i] = 0;
            keys.floor[i] = out ? kNothing : kEverything;
        }
        return;
    }
    if (by_lengths(own, other)) {
        for (int i = 0; i < own.size; ++i) {
            const double length = own.lengths[i], base = length * length * (1 - kLengthError) * inverse;
            whole &= base <= kBaseLimit;
            keys.base[i] = base > 0 ? -static_cast<int32_t>(std::min(base, kBaseLimit)) : 0;
            const double floor = -(radii[i] * radii[i] + 2 * allowance(own, i, other)) * inverse;
            keys.floor[i] = radii[i] < 0 ? kNothing : as_floor(floor);
        }
    } else {
        for (int i = 0; i < own.size; ++i) {
            const double base = own.squared_norms[i] * half;
            whole &= base <= kBaseLimit;
            keys.base[i] = -static_cast<int32_t>(std::min(base, kBaseLimit));
            const double reach = radii[i] + own.slacks[i] + other.slack_highest;
            keys.floor[i] = radii[i] < 0 ? kNothing : as_floor(-reach * reach * inverse);
        }
    }
    if (!own.lengths || !other.lengths) return;
    for (int i = 0; i < own.size; ++i) {
        if (beyond(own.lengths[i], other) > radii[i]) keys.floor[i] = kNothing;
    }
}

bool DotCoder::keys(const Side& rows, const double* row_radii, const Side& columns, const double* column_radii,
                    Keys& row_keys, Keys& column_keys) const {
    bool whole = true;
    const auto fill = [&](const Side& own, const double* radii, const Side& other, Keys& keys) {
        if (metric_ == Metric::inner_product) keys_by_products(own, radii, other, keys, whole);
        else keys_by_distances(own, radii, other, keys, whole);
        keys.some =
            std::any_of(keys.floor.begin(), keys.floor.begin() + own.size, [](int32_t f) { return f != kNothing; });
    };
    fill(rows, row_radii, columns, row_keys);
    fill(columns, column_radii, rows, column_keys);
    // The panel's codes are unsigned, 128 too high: what that adds to a product depends on the row alone.
    for (int i = 0; i < rows.size; ++i) {
        row_keys.base[i] -= 128 * rows.sums[i];
        row_keys.floor[i] -= row_keys.base[i];
    }
    for (size_t i = rows.size; i < row_keys.base.size(); ++i) {
        row_keys.base[i] = 0;
        row_keys.floor[i] = kNothing;
    }
    for (size_t i = columns.size; i < column_keys.base.size(); ++i) {
        column_keys.base[i] = -static_cast<int32_t>(kBaseLimit);
        column_keys.floor[i] = kNothing;
    }
    return whole;
}

// A distance that no computed distance of a pair exceeds whose true one is at most this radius. Where squares come near
// the end of float64 a computed distance may be infinite.
double DotCoder::distance_within(double radius) const {
    const double distance = radius / factor_ * (1 + 1e-8) + 1e-150;
    if (!(distance < 1e150)) return kInfinity;
    switch (metric_) {
        case Metric::sqeuclidean: return distance * distance;
        case Metric::cosine: return distance * distance / 2;
        default: return distance;
    }
}

double DotCoder::upper(const Side& rows, int row, const Side& columns, int32_t score) const {
    const double unit = rows.scale * columns.scale;
    if (metric_ == Metric::inner_product) {
        const double product = unit * (score - kRounded) + rows.shift_highest + columns.shift_highest;
        return (allowance(rows, row, columns) - product) / (factor_ * factor_);
    }
    double squared = std::max(0.0, 2 * unit * (kRounded - static_cast<double>(score)));
    if (by_lengths(rows, columns)) {
        const double lengths = rows.longest * rows.longest + columns.longest * columns.longest;
        squared += 2 * allowance(rows, row, columns) + 4 * kLengthError * lengths;
        return distance_within(std::sqrt(squared));
    }
    return distance_within(std::sqrt(squared) + rows.slacks[row] + columns.slack_highest);
}

void DotCoder::lower(const Side& rows, const Side& columns, int first_column, const Survivor* survivors, size_t n,
                     float* out) const {
    const double unit = rows.scale * columns.scale;
    for (size_t i = 0; i < n; ++i) {
        const Survivor s = survivors[i];
        double bound;
        if (metric_ == Metric::inner_product) {
            const double product = unit * s.score + rows.shift_highest + columns.shift_highest;
            bound = -(product + allowance(rows, s.row, columns));
        } else if (rows.region != columns.region) {
            const double lengths = static_cast<double>(rows.lengths[s.row]) + columns.lengths[first_column + s.column];
            bound = apart(rows, columns) - lengths * (1 + kLengthError) - kShortest;
            if (!(bound > 0)) bound = 0;
        } else if (by_lengths(rows, columns)) {
            bound = std::sqrt(std::max(0.0, -2 * unit * s.score - 2 * allowance(rows, s.row, columns))) * (1 - 1e-13);
        } else {
            const double slack = static_cast<double>(rows.slacks[s.row]) + columns.slacks[first_column + s.column];
            bound = std::sqrt(std::max(0.0, -2 * unit * s.score)) * (1 - 1e-13) - slack * (1 + 1e-13);
        }
        out[i] = round_down(bound);
    }
}

}  // namespace vicinal
