// See node_codes.hpp.
#include "node_codes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "dot_codes.hpp"

namespace vicinal {
namespace {

constexpr int64_t kChunk = 480;         // rows in a task
constexpr int64_t kSample = 4096;       // rows that the scale is chosen from
constexpr double kClipped = 0.001;      // share of the sample whose largest coordinate is clipped
constexpr double kBaseLimit = 1 << 28;  // so that scores fit in 32 bits

int32_t as_base(double value) { return static_cast<int32_t>(std::llround(std::clamp(value, -kBaseLimit, kBaseLimit))); }

// The largest coordinate that is coded without clipping.
double usual_peak(const DotCoder& coder, const Rows& rows, const std::vector<int32_t>& which) {
    const auto n = static_cast<int64_t>(which.size());
    std::vector<double> peaks;
    for (int64_t i = 0; i < std::min(n, kSample); ++i) {
        const double peak = coder.peak(rows, which[i * n / std::min(n, kSample)], 0) * coder.factor();
        if (peak < 1e30) peaks.push_back(peak);
    }
    if (peaks.empty()) return 1;
    const auto at = peaks.begin() + static_cast<int64_t>(static_cast<double>(peaks.size() - 1) * (1 - kClipped));
    std::nth_element(peaks.begin(), at, peaks.end());
    return *at > 1e-30 ? *at : 1;
}

}  // namespace

NodeCodes::NodeCodes(const Rows& rows, std::vector<int32_t> which, Metric metric, const Coder& coder, const Isa& isa,
                     Pool& pool, const Callbacks& callbacks, uint8_t* lent)
    : ops_(*isa.rows),
      metric_(metric),
      jaccard_(metric == Metric::jaccard),
      width_(coder.group_bytes()),
      offset_(coder.offset()),
      dim_(rows.matrix.dim),
      row_bytes_(coder.row_bytes()),
      panel_bytes_(padded(dim_, width_)),
      rows_(std::move(which)),
      codes_(std::max<int64_t>(1, size()) * row_bytes_, lent),
      bases_(size()) {
    const auto* dot = dynamic_cast<const DotCoder*>(&coder);
    if (dot) sums_.resize(size());
    const double scale = scale_ = dot ? usual_peak(*dot, rows, rows_) / dot->max_code() : 1;
    if (dot) sum_of_rank_ = (metric == Metric::inner_product ? 1 : 2) * std::pow(scale / dot->factor(), 2);
    std::mutex mutex;
    pool.run((size() + kChunk - 1) / kChunk, callbacks, [&](int, int64_t task) {
        const int64_t first = task * kChunk, last = std::min(size(), first + kChunk);
        std::vector<int32_t> lost;
        if (dot) {
            for (int64_t i = first; i < last; ++i) {
                if (!put_dot(*dot, rows, scale, i)) lost.push_back(static_cast<int32_t>(i));
            }
        } else {
            CodedBlock coded;
            coder.encode(rows, &rows_[first], static_cast<int>(last - first), 0, 0, coded);
            if (first == 0 && metric == Metric::manhattan) sum_of_rank_ = scale_ = coded.stats.scale;
            std::memcpy(codes_.get() + first * row_bytes_, coded.codes.data(), (last - first) * row_bytes_);
            if (jaccard_) std::copy_n(coded.squared_norms.begin(), last - first, bases_.begin() + first);
            for (int64_t i = first; i < last; ++i) {
                if (std::isinf(coded.slacks[i - first])) lost.push_back(static_cast<int32_t>(i));
            }
        }
        if (lost.empty()) return;
        const std::lock_guard lock(mutex);
        uncoded_.insert(uncoded_.end(), lost.begin(), lost.end());
    });
    std::sort(uncoded_.begin(), uncoded_.end());
}

bool NodeCodes::put_dot(const DotCoder& coder, const Rows& rows, double scale, int64_t node) {
    thread_local std::vector<float> x;
    thread_local std::vector<int8_t> code;
    x.resize(padded(dim_, 8));
    code.resize(x.size());
    auto* out = reinterpret_cast<int8_t*>(codes_.get()) + node * row_bytes_;
    std::memset(out, 0, row_bytes_);
    coder.centred(rows, rows_[node], x.data());
    const auto limit = static_cast<float>(scale * coder.max_code());
    double square = 0;
    for (int64_t c = 0; c < dim_; ++c) {
        square += static_cast<double>(x[c]) * x[c];
        x[c] = std::clamp(x[c], -limit, limit);
    }
    if (!(square < 1e30)) return false;
    const CodedRow coded = ops_.quantise(x.data(), dim_, static_cast<float>(scale), code.data());
    std::memcpy(out, code.data(), dim_);
    sums_[node] = coded.sum;
    const double unit = scale * scale;
    bases_[node] = metric_ == Metric::inner_product ? as_base(coder.shift(rows, rows_[node]) / unit)
                                                    : as_base(-square / (2 * unit));
    return true;
}

// The Jaccard distance 2 h / (a + b + h) of rows that differ in h bits, in units of 2^-30.
Rank NodeCodes::share(int32_t score, int32_t base, int32_t other_base) {
    if (score == 0) return 0;
    const uint64_t differing = static_cast<uint64_t>(-int64_t{score});
    return static_cast<Rank>((differing << 31) / (static_cast<uint64_t>(base) + other_base + differing));
}

int32_t NodeCodes::threshold(Rank worst, int32_t row_base) const {
    if (jaccard_) {
        if (worst >= static_cast<Rank>(kMiddle)) return 1 << 16;
        const double distance = (static_cast<double>(worst) + 1) * 0x1p-30;
        return static_cast<int32_t>(std::ceil(distance / (2 - distance) * (1 << 16) * (1 + 1e-9)));
    }
    if (worst >= static_cast<Rank>(2) * kMiddle - 1) return kPassAll - row_base;
    return kMiddle - static_cast<int32_t>(worst) - row_base;
}

void NodeCodes::pack(int64_t node, uint8_t* panel, int column) const {
    const auto* own = reinterpret_cast<const uint8_t*>(code(node));
    if (width_ == 4) {
        const uint32_t offset = offset_ * 0x01010101u;
        for (int64_t c = 0; c < panel_bytes_; c += 4) {
            uint32_t word;
            std::memcpy(&word, own + c, 4);
            word ^= offset;  // adds 128 to each code
            std::memcpy(panel + c * kPanel + 4 * column, &word, 4);
        }
    } else {
        for (int64_t c = 0; c < panel_bytes_; c += 8) std::memcpy(panel + c * kPanel + 8 * column, own + c, 8);
    }
}

void NodeCodes::release() {
    codes_.free();
    bases_ = {};
    sums_ = {};
}

void NodeCodes::renumber(const std::vector<int32_t>& order) {
    const auto moved = [&](std::vector<int32_t>& values) {
        if (values.empty()) return;
        std::vector<int32_t> out(values.size());
        for (size_t i = 0; i < order.size(); ++i) out[i] = values[order[i]];
        values.swap(out);
    };
    // The codes are moved in their place, one cycle of the permutation after the other.
    std::vector<bool> done(order.size());
    std::vector<uint8_t> held(row_bytes_);
    for (size_t start = 0; start < order.size(); ++start) {
        if (done[start]) continue;
        uint8_t* const codes = codes_.get();
        std::memcpy(held.data(), codes + start * row_bytes_, row_bytes_);
        size_t to = start;
        for (;;) {
            done[to] = true;
            const auto from = static_cast<size_t>(order[to]);
            if (from == start) break;
            std::memcpy(codes + to * row_bytes_, codes + from * row_bytes_, row_bytes_);
            to = from;
        }
        std::memcpy(codes + to * row_bytes_, held.data(), row_bytes_);
    }
    moved(rows_);
    moved(bases_);
    moved(sums_);
    std::vector<bool> lost(order.size());
    for (const int32_t node : uncoded_) lost[node] = true;
    uncoded_.clear();
    for (size_t i = 0; i < order.size(); ++i) {
        if (lost[order[i]]) uncoded_.push_back(static_cast<int32_t>(i));
    }
}

}  // namespace vicinal
