// See copies.hpp.
#include "copies.hpp"

#include <algorithm>
#include <numeric>

namespace vicinal {
namespace {

constexpr int64_t kChunk = 256;  // rows in a task

bool equal_rows(const Rows& rows, int32_t a, int32_t b, const RowOps& ops, std::vector<double>& x,
                std::vector<double>& y) {
    ops.load(rows, a, x.data());
    ops.load(rows, b, y.data());
    return std::equal(x.begin(), x.end(), y.begin());
}

}  // namespace

Copies find_copies(const Rows& rows, const int64_t* groups, const RowOps& ops, Pool& pool, const Callbacks& callbacks) {
    Rows raw = rows;
    raw.inverse_norms = nullptr;
    const int64_t n = raw.matrix.n_vectors, width = padded(raw.matrix.dim, 8);
    std::vector<std::pair<uint64_t, int32_t>> hashes(n);
    pool.run((n + kChunk - 1) / kChunk, callbacks, [&](int, int64_t task) {
        for (int64_t i = task * kChunk; i < std::min(n, (task + 1) * kChunk); ++i) {
            const uint64_t group = groups ? static_cast<uint64_t>(groups[i]) * 0x9e3779b97f4a7c15u : 0;
            hashes[i] = {ops.hash(raw, i) ^ group, static_cast<int32_t>(i)};
        }
    });
    std::sort(hashes.begin(), hashes.end());

    // The first copy of each row, itself if there is no earlier one.
    std::vector<int32_t> first(n);
    std::iota(first.begin(), first.end(), 0);
    std::vector<double> x(width), y(width);
    bool any = false;
    for (int64_t begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && hashes[end].first == hashes[begin].first; ++end) {
            const int32_t row = hashes[end].second;
            for (int64_t earlier = begin; earlier < end; ++earlier) {
                const int32_t other = hashes[earlier].second;
                if (first[other] != other || (groups && groups[other] != groups[row])) continue;
                if (!equal_rows(raw, other, row, ops, x, y)) continue;
                first[row] = other;
                any = true;
                break;
            }
        }
    }
    Copies copies;
    std::vector<int32_t> place(any ? n : 0);
    for (int64_t i = 0; i < n; ++i) {
        if (first[i] != i) continue;
        if (any) place[i] = static_cast<int32_t>(copies.representatives.size());
        copies.representatives.push_back(static_cast<int32_t>(i));
    }
    if (!any) return copies;
    copies.starts.assign(copies.representatives.size() + 1, 0);
    for (int64_t i = 0; i < n; ++i) ++copies.starts[place[first[i]] + 1];
    std::partial_sum(copies.starts.begin(), copies.starts.end(), copies.starts.begin());
    copies.members.resize(n);
    std::vector<int64_t> next(copies.starts.begin(), copies.starts.end() - 1);
    for (int64_t i = 0; i < n; ++i) copies.members[next[place[first[i]]]++] = static_cast<int32_t>(i);
    return copies;
}

}  // namespace vicinal
