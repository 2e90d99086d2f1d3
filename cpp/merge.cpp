// See merge.hpp.
#include "merge.hpp"

#include <algorithm>

namespace vicinal {
namespace {

constexpr int64_t kChunk = 256;  // lists in a task

// The position of each row; empty where no rows are equal.
std::vector<int64_t> positions(const Stored& stored) {
    if (!stored.copies().any()) return {};
    std::vector<int64_t> position_of(stored.rows().matrix.n_vectors, -1);
    for (int64_t p = 0; p < stored.size(); ++p) position_of[stored.row(p)] = p;
    return position_of;
}

// The first `limit` given rows, in the order (distance, row), that a sorted list of distinct rows stands for.
void expand(const Stored& stored, const std::vector<Neighbour>& representatives,
            const std::vector<int64_t>& position_of, int64_t limit, std::vector<Neighbour>& out) {
    out.clear();
    for (const Neighbour& entry : representatives) {
        if (static_cast<int64_t>(out.size()) >= limit && out.back().distance < entry.distance) break;
        auto [copy, end] = stored.copies(position_of[entry.row]);
        // At most `limit` copies of one row can be in the result.
        end = std::min(end, copy + limit);
        for (; copy != end; ++copy) out.push_back({entry.distance, static_cast<uint32_t>(*copy)});
    }
    std::sort(out.begin(), out.end());
    if (static_cast<int64_t>(out.size()) > limit) out.resize(limit);
}

}  // namespace

void finish_self_join(const Context& context, const int64_t* groups, Lists& lists) {
    const Stored& stored = context.stored;
    const RowOps& ops = *context.isa.rows;
    const int64_t k = lists.k();
    const std::vector<int64_t> position_of = positions(stored);
    context.pool.run((stored.size() + kChunk - 1) / kChunk, context.callbacks, [&](int, int64_t task) {
        std::vector<Neighbour> entries, others;
        std::vector<double> x(padded(stored.rows().matrix.dim, 8));
        for (int64_t p = task * kChunk; p < std::min(stored.size(), (task + 1) * kChunk); ++p) {
            const int32_t row = stored.row(p);
            lists.sorted(row, entries);
            if (position_of.empty()) {
                lists.finish(row, entries);
                continue;
            }
            const auto [begin, end] = stored.copies(p);
            // Copies in the same group are not neighbours.
            if (end - begin > 1 && !groups) {
                double sum;
                ops.load(stored.rows(), row, x.data());
                ops.measure(stored.rows(), stored.coder().sum(), x.data(), &row, 1, &sum);
                entries.push_back({stored.coder().distance_of(sum), static_cast<uint32_t>(row)});
                std::sort(entries.begin(), entries.end());
            }
            expand(stored, entries, position_of, k + 1, others);
            for (const int32_t* copy = begin; copy != end; ++copy) {
                entries = others;
                std::erase_if(entries, [&](const Neighbour& e) { return e.row == static_cast<uint32_t>(*copy); });
                if (static_cast<int64_t>(entries.size()) > k) entries.resize(k);
                lists.finish(*copy, entries);
            }
        }
    });
}

void finish_search(const Context& context, int64_t n_queries, Lists& lists) {
    const Stored& stored = context.stored;
    const std::vector<int64_t> position_of = positions(stored);
    context.pool.run((n_queries + kChunk - 1) / kChunk, context.callbacks, [&](int, int64_t task) {
        std::vector<Neighbour> entries, expanded;
        for (int64_t query = task * kChunk; query < std::min(n_queries, (task + 1) * kChunk); ++query) {
            lists.sorted(query, entries);
            if (!position_of.empty()) {
                expand(stored, entries, position_of, lists.k(), expanded);
                entries.swap(expanded);
            }
            lists.finish(query, entries);
        }
    });
}

}  // namespace vicinal
