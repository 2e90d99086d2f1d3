// See navigable_starts.hpp.
#include "navigable_starts.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace vicinal {

void CodedQueries::resize(int64_t n, int64_t bytes) {
    row_bytes = bytes;
    codes.resize(n * bytes);
    factors.resize(n);
    offsets.resize(n);
}

void CodedQueries::put(int64_t i, const CodedQuery& query) {
    std::copy_n(query.code.begin(), row_bytes, codes.begin() + i * row_bytes);
    factors[i] = query.factor;
    offsets[i] = query.offset;
}

void CodedQueries::get(int64_t i, CodedQuery& query) const {
    query.code.assign(codes.begin() + i * row_bytes, codes.begin() + (i + 1) * row_bytes);
    query.factor = factors[i];
    query.offset = offsets[i];
    query.coded = true;
}

void PackedStarts::pack(const Navigable& graph) {
    nodes_.clear();
    terms_.clear();
    if (!graph.regions.empty()) return;
    nodes_ = graph.starts;
    const auto n = static_cast<int64_t>(nodes_.size());
    terms_.resize(padded(n, kPanel));
    panels_.resize(padded(n, kPanel) * graph.row_bytes);
    std::fill_n(panels_.data(), panels_.size(), uint8_t{128});
    for (int64_t i = 0; i < n; ++i) {
        terms_[i] = graph.terms[nodes_[i]];
        uint8_t* const panel = panels_.data() + i / kPanel * kPanel * graph.row_bytes;
        for (int64_t c = 0; c < graph.row_bytes; c += 4)
            std::memcpy(panel + c * kPanel + i % kPanel * 4, graph.code(nodes_[i]) + c, 4);
    }
}

void PackedStarts::nearest(const ScanOps& scan, const CodedQueries& queries, int64_t first, int64_t count,
                           int32_t* begin) const {
    const int64_t n_rows = padded(count, scan.row_step), bytes = queries.row_bytes;
    thread_local std::vector<int8_t> rows;
    thread_local std::vector<int32_t> zeros, scores;
    thread_local std::vector<Step> steps;
    thread_local std::vector<float> limits;
    rows.resize(n_rows * bytes);
    std::copy_n(queries.codes.begin() + first * bytes, count * bytes, rows.begin());
    std::fill(rows.begin() + count * bytes, rows.end(), int8_t{0});
    zeros.assign(std::max<int64_t>(n_rows, kPanel), 0);
    scores.resize(n_rows * kPanel);
    steps.assign(count * kBegin, ~Step{0});
    limits.assign(count, std::numeric_limits<float>::infinity());
    for (int64_t panel = 0; panel < static_cast<int64_t>(nodes_.size()); panel += kPanel) {
        const int64_t columns = std::min<int64_t>(kPanel, static_cast<int64_t>(nodes_.size()) - panel);
        const ScanJob job{rows.data(),
                          bytes,
                          static_cast<int>(n_rows),
                          panels_.data() + panel * bytes,
                          static_cast<int>(bytes / 4),
                          zeros.data(),
                          zeros.data(),
                          zeros.data(),
                          zeros.data()};
        scan.scores(job, scores.data(), kPanel);
        for (int64_t i = 0; i < count; ++i) {
            const float factor = queries.factors[first + i];
            const int32_t offset = queries.offsets[first + i];
            float near[kPanel];
            for (int64_t c = 0; c < kPanel; ++c)
                near[c] = nearness(terms_[panel + c], factor, scores[i * kPanel + c] - offset);
            Step* const own = &steps[i * kBegin];
            for (int64_t c = 0; c < columns; ++c) {
                if (!(near[c] <= limits[i])) continue;
                const Step step = step_of(near[c], nodes_[panel + c]);
                if (step >= own[kBegin - 1]) continue;
                Step* const place = std::lower_bound(own, own + kBegin, step);
                std::copy_backward(place, own + kBegin - 1, own + kBegin);
                *place = step;
                if (own[kBegin - 1] != ~Step{0}) limits[i] = distance_of_step(own[kBegin - 1]);
            }
        }
    }
    for (int64_t i = 0; i < count * kBegin; ++i) begin[i] = steps[i] == ~Step{0} ? kNoNode : node_of_step(steps[i]);
}

}  // namespace vicinal
